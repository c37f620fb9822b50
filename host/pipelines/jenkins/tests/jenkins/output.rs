//! Tests of the console output.

use std::sync::Arc;

use wardroom::adapter::Pipelines;

use crate::harness::{JOB, PIPELINE, Settings, TestHost, follow, key, line_with, start, state, wait, within};

async fn output(pipelines: &Arc<dyn Pipelines>, bytes: usize) -> String {
    pipelines.output(&key("a-1"), PIPELINE, bytes).await.unwrap()
}

#[tokio::test]
async fn lines_arrive_while_the_build_runs() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let (end, mut lines) = follow(&pipelines, "a-1");
    host.server.log(JOB, 1, b"Started by user bot\n\x1b[8mha:AAAAyv4=\x1b[0m[Pipeline] stage\nnot a whole");
    line_with(&mut lines, "Started by user bot").await;
    line_with(&mut lines, "[Pipeline] stage").await;
    host.server.log(JOB, 1, b" line\nlast line without an end");
    assert_eq!(line_with(&mut lines, "line").await, "not a whole line");
    host.server.end(JOB, 1, "SUCCESS");
    within(end).await.unwrap().unwrap();
    assert_eq!(lines.recv().await.unwrap(), "last line without an end");
    assert_eq!(lines.recv().await, None);
}

#[tokio::test]
async fn a_character_over_the_edge_of_a_response_is_whole() {
    let host = TestHost::new().await;
    // Every response ends within a character.
    host.server.faults(|faults| faults.log_bytes = 5);
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.log(JOB, 1, "grün €€€€ ключ\n".as_bytes());
    let (end, mut lines) = follow(&pipelines, "a-1");
    assert_eq!(line_with(&mut lines, "gr").await, "grün €€€€ ключ");
    host.server.end(JOB, 1, "SUCCESS");
    within(end).await.unwrap().unwrap();
}

#[tokio::test]
async fn output_that_shrank_is_read_from_its_beginning() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.log(JOB, 1, b"one\ntwo\nthree\n");
    let (end, mut lines) = follow(&pipelines, "a-1");
    line_with(&mut lines, "three").await;
    host.server.replace_log(JOB, 1, b"new\n");
    line_with(&mut lines, "was replaced by a shorter one").await;
    line_with(&mut lines, "new").await;
    host.server.end(JOB, 1, "SUCCESS");
    within(end).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_tail_has_the_last_bytes() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), wardroom::adapter::RunState::Running);
    assert_eq!(output(&pipelines, 100).await, "");
    let note = b"\x1b[8mha:AAAAyv4aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=\x1b[0m";
    for at in 0..2_000 {
        host.server.log(JOB, 1, note);
        host.server.log(JOB, 1, format!("line {at} €\n").as_bytes());
    }
    let tail = output(&pipelines, 40).await;
    assert!(tail.ends_with("line 1998 €\r\nline 1999 €\r\n") && tail.len() <= 40, "{tail:?}");
    // A cut within a character drops the character.
    let tail = output(&pipelines, 4).await;
    assert!(tail.len() <= 4 && tail.ends_with("\r\n") && !tail.contains('\u{fffd}'), "{tail:?}");
    host.server.end(JOB, 1, "SUCCESS");
    wait(&pipelines, "a-1").await;
    let all = output(&pipelines, 1 << 20).await;
    assert!(all.starts_with("line 0 €\r\nline 1 €\r\n") && !all.contains("ha:"), "{:?}", &all[..60]);
}

#[tokio::test]
async fn the_tail_of_a_running_build_with_many_lines_is_its_end() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), wardroom::adapter::RunState::Running);
    // One response has at most 10,000 lines.
    let text: String = (0..35_000).map(|at| format!("line {at}\n")).collect();
    host.server.log(JOB, 1, text.as_bytes());
    assert!(output(&pipelines, 30).await.ends_with("line 34999\r\n"));
}

#[tokio::test]
async fn much_output_does_not_delay_the_end() {
    let host = TestHost::new().await;
    let system = "token = { file = 'token' }\ntimeout = '20s'".to_owned();
    let pipelines = host.with(Settings { system, ..Settings::default() });
    start(&pipelines, "a-1").await.unwrap();
    host.server.log(JOB, 1, &b"x".repeat(18 << 20));
    host.server.log(JOB, 1, b"\nthe end\n");
    host.server.end(JOB, 1, "SUCCESS");
    let (_, lines) = wait(&pipelines, "a-1").await;
    let shown: usize = lines.iter().map(String::len).sum();
    assert!(shown < 200_000, "{shown} bytes");
    assert!(lines.iter().any(|line| line.contains("left out")), "{:?}", lines.last());
}

#[tokio::test]
async fn a_run_in_the_queue_has_no_output() {
    let host = TestHost::new().await;
    host.server.hold_queue("x");
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    assert_eq!(output(&pipelines, 100).await, "");
}
