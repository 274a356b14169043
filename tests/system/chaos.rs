//! A run outlives what chaos does to its processes.

use crate::support::Workspace;
use serde_json::Value;

#[test]
fn a_run_under_chaos_ends_in_good_order_with_every_sample_once() {
    let workspace = Workspace::new(2000, |run| run.replace("workers: 2", "workers: 3"));
    let output = workspace.output(&["train", "run.yaml", "--no-eval", "--json", "--chaos", "7"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(result["step"], 2000);
    let told = |deed: &str| {
        let lines = errors.lines();
        lines.filter(|line| line.starts_with(deed)).count() as u64
    };
    let (killed, stopped) = (told("chaos: killed "), told("chaos: stopped "));
    assert!(killed + stopped > 0, "{errors}");
    assert_eq!(result["chaos"]["killed"], killed);
    assert_eq!(result["chaos"]["stopped"], stopped);
    assert_eq!(told("chaos: continued "), stopped, "{errors}");
    // This seed's first deed is a kill.
    assert!(
        errors.contains(" s after the coordinator ended"),
        "{errors}"
    );
    let (report, whole) = workspace.audit("runs/toy");
    assert!(whole, "{report}");
}
