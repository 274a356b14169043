//! Node runs scripts within a limit, and one of them can drive a browser.

use std::time::Duration;
use twinspan_testkit::harness::TempRun;
use twinspan_testkit::servers::{Node, StartError, or_skip};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_script_gives_its_output_and_is_killed_at_its_limit() {
    let Some(node) = or_skip(Node::find()) else {
        return;
    };
    let run = TempRun::new().expect("a directory");
    let script = "console.log(process.argv[2]); console.error('no'); process.exit(3)";
    let script = run.write("ends.mjs", script).expect("a file");
    let finished = node.run(&script, ["yes"], LIMIT).expect("it ends");
    assert_eq!(finished.stdout, "yes\n");
    assert_eq!(finished.stderr, "no\n");
    assert_eq!(finished.status.code(), Some(3));

    let script = "console.log('begun'); setInterval(() => {}, 1000)";
    let script = run.write("hangs.mjs", script).expect("a file");
    let limit = Duration::from_secs(2);
    match node.run(&script, [""], limit) {
        Err(StartError::System(error)) => {
            assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
            assert!(error.to_string().contains("begun"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_script_reads_a_page_in_a_browser() {
    let Some(node) = or_skip(Node::with_browser()) else {
        return;
    };
    let run = TempRun::new().expect("a directory");
    let script = r#"
        const { chromium } = await import(process.env.TWINSPAN_PLAYWRIGHT);
        const browser = await chromium.launch({
            executablePath: process.env.TWINSPAN_CHROMIUM,
            args: ['--no-sandbox'],
        });
        const page = await browser.newPage();
        await page.goto('data:text/html,<p>two towers</p>');
        console.log(await page.textContent('p'));
        await browser.close();
    "#;
    let script = run.write("page.mjs", script).expect("a file");
    let arguments: [&str; 0] = [];
    let finished = node.run(&script, arguments, LIMIT).expect("it ends");
    assert_eq!(finished.expect_success(), "two towers\n");
}
