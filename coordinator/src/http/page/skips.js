// Samples that could not be used, and why.

import { byId, make } from "./dom.js";
import { count, several, words } from "./format.js";

export function showSkips(data) {
  const reasons = Object.entries(data.by_reason).sort((a, b) => b[1] - a[1]);
  const none = byId("skips-none");
  none.hidden = data.total > 0;
  byId("skips-scroll").hidden = data.recent.length === 0;
  byId("skips-reasons").hidden = reasons.length === 0;
  byId("skips-reasons").replaceChildren(
    ...reasons.map(([reason, n]) => {
      const bar = make("span", { class: "meter" });
      bar.style.width = `${(n / data.total) * 100}%`;
      return make(
        "li",
        { "data-reason": reason },
        make("span", { text: words(reason) }),
        make("span", { class: "number", text: several(n, "sample") }),
        make("span", { class: "track", "aria-hidden": "true" }, bar),
      );
    }),
  );
  const cells = (skip) => [
    count(skip.step),
    count(skip.lane),
    count(skip.epoch),
    words(skip.reason),
    skip.key,
    skip.shard,
    skip.detail,
  ];
  byId("skips-table").tBodies[0].replaceChildren(
    ...[...data.recent]
      .reverse()
      .map((skip) =>
        make("tr", {}, ...cells(skip).map((text, i) => make("td", { class: i < 3 ? "number" : "", text }))),
      ),
  );
}
