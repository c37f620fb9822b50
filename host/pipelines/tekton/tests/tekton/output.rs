//! Tests of the output of steps.

use serde_json::json;
use wardroom::model::Outcome;

use crate::harness::{PIPELINE, RUN, TestHost, follow, key, line_with, outage, start, wait, within};

fn running() -> serde_json::Value {
    json!({ "running": { "startedAt": "2026-12-01T10:00:00Z" } })
}

fn done() -> serde_json::Value {
    json!({ "terminated": { "exitCode": 0, "reason": "Completed" } })
}

#[tokio::test]
async fn the_output_of_the_steps_is_followed_in_their_order() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.task(RUN, "build", "Unknown", "Running", "");
    host.server.step(RUN, "build", "fetch", running());
    host.server.step(RUN, "build", "compile", json!({ "waiting": { "reason": "PodInitializing" } }));
    host.server.log(RUN, "build", "fetch", "one\ngr\u{fc}n \x1b[31mred\x1b[0m\n\nhal".as_bytes());
    let (end, mut lines) = follow(&pipelines, "a-1");
    for expected in ["build/fetch: one", "build/fetch: gr\u{fc}n red", "build/fetch: "] {
        assert_eq!(line_with(&mut lines, "build/").await, expected);
    }
    // A line is passed on when it is complete; a character can be written in two parts.
    host.server.log(RUN, "build", "fetch", b"f \xc3");
    host.server.log(RUN, "build", "fetch", b"\xbc\n");
    assert_eq!(line_with(&mut lines, "build/").await, "build/fetch: half \u{fc}");
    host.server.log(RUN, "build", "fetch", b"last, without its end");
    host.server.step(RUN, "build", "fetch", done());
    assert_eq!(line_with(&mut lines, "build/").await, "build/fetch: last, without its end");
    host.server.step(RUN, "build", "compile", running());
    host.server.log(RUN, "build", "compile", b"two\n");
    assert_eq!(line_with(&mut lines, "build/").await, "build/compile: two");
    // What is written just before the end is shown, too.
    host.server.log(RUN, "build", "compile", b"three\n");
    host.server.step(RUN, "build", "compile", done());
    host.server.task(RUN, "build", "True", "Succeeded", "");
    host.server.end(RUN, "True", "Succeeded", "");
    within(end).await.unwrap().unwrap();
    assert_eq!(line_with(&mut lines, "build/").await, "build/compile: three");
    assert!(lines.try_recv().is_err(), "no line is shown twice");
}

#[tokio::test]
async fn many_tasks_at_once_take_turns() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let tasks: Vec<String> = (0..10).map(|at| format!("t{at}")).collect();
    for task in &tasks {
        host.server.task(RUN, task, "Unknown", "Running", "");
        host.server.step(RUN, task, "run", running());
        host.server.log(RUN, task, "run", b"x\n");
    }
    let (end, mut lines) = follow(&pipelines, "a-1");
    let mut seen: Vec<String> = Vec::new();
    for _ in &tasks {
        seen.push(line_with(&mut lines, "/run: x").await);
    }
    seen.sort();
    assert_eq!(seen, tasks.iter().map(|task| format!("{task}/run: x")).collect::<Vec<_>>());
    host.server.end(RUN, "True", "Succeeded", "");
    assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn too_much_output_is_left_out_and_told() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.task(RUN, "build", "True", "Succeeded", "");
    host.server.step(RUN, "build", "run", done());
    for at in 0..3000 {
        host.server.log(RUN, "build", "run", format!("line {at}\n").as_bytes());
    }
    host.server.end(RUN, "True", "Succeeded", "");
    let (_, lines) = wait(&pipelines, "a-1").await;
    let output: Vec<&String> = lines.iter().filter(|line| line.starts_with("build/run: ")).collect();
    assert_eq!(output[0], "build/run: [... output was left out because there was too much]");
    assert_eq!((output[1].as_str(), output.last().unwrap().as_str()), ("build/run: line 2000", "build/run: line 2999"));
    assert_eq!(output.len(), 1001);
}

#[tokio::test]
async fn the_output_of_a_deleted_pod_is_told_as_gone() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.step(RUN, "build", "run", json!({ "terminated": { "exitCode": 1, "reason": "Error" } }));
    host.server.task(RUN, "build", "False", "TaskRunCancelled", "");
    host.server.delete_pod(RUN, "build");
    host.server.end(RUN, "False", "Cancelled", "");
    let (end, lines) = wait(&pipelines, "a-1").await;
    assert_eq!(end.outcome, Outcome::Cancelled);
    let gone = "build/run: [the pod was deleted, and with it the rest of the output]";
    assert_eq!(lines.iter().filter(|line| *line == gone).count(), 1, "{lines:#?}");
    assert_eq!(pipelines.output(&key("a-1"), PIPELINE, 1000).await.unwrap(), "");
}

#[tokio::test]
async fn the_last_lines_are_those_of_the_last_steps() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    for task in ["build", "roll-out"] {
        host.server.task(RUN, task, "True", "Succeeded", "");
        host.server.step(RUN, task, "run", done());
        for at in 0..3 {
            host.server.log(RUN, task, "run", format!("{task} {at} \u{fc}\n").as_bytes());
        }
    }
    let run = key("a-1");
    let output = |bytes| pipelines.output(&run, PIPELINE, bytes);
    let all = output(1000).await.unwrap();
    assert_eq!(all.lines().next().unwrap(), "build/run: build 0 \u{fc}");
    assert_eq!((all.lines().count(), all.lines().last().unwrap()), (6, "roll-out/run: roll-out 2 \u{fc}"));
    assert_eq!(output(3).await.unwrap(), "\u{fc}\n");
    assert_eq!(output(2).await.unwrap(), "\n", "no half character");
    host.server.faults(|faults| faults.no_kubelet = "roll-out".into());
    assert_eq!(output(1000).await.unwrap().lines().count(), 3, "the output of the other task");
    host.server.faults(|faults| faults.no_kubelet = "pod".into());
    let message = outage(output(100).await);
    assert!(
        message.starts_with("the Kubernetes API failed on output of the step `run` of the task `roll-out` (500: Get"),
        "{message}"
    );
}

#[tokio::test]
async fn the_output_of_other_tasks_is_followed_while_a_node_is_down() {
    let host = TestHost::new().await;
    host.server.faults(|faults| faults.no_kubelet = "build".into());
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    for task in ["build", "check"] {
        host.server.task(RUN, task, "True", "Succeeded", "");
        host.server.step(RUN, task, "run", done());
        host.server.log(RUN, task, "run", b"x\n");
    }
    host.server.end(RUN, "True", "Succeeded", "");
    let (_, lines) = wait(&pipelines, "a-1").await;
    let output: Vec<&String> = lines.iter().filter(|line| line.contains("/run: ")).collect();
    assert_eq!(output, ["check/run: x"]);
}

#[tokio::test]
async fn without_the_permission_for_output_the_run_is_followed() {
    let host = TestHost::new().await;
    host.server.deny("get", "pods/log", "ci");
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.step(RUN, "build", "run", done());
    host.server.task(RUN, "build", "True", "Succeeded", "");
    host.server.end(RUN, "True", "Succeeded", "");
    assert_eq!(wait(&pipelines, "a-1").await.0.outcome, Outcome::Succeeded);
    let message = crate::harness::refusal(pipelines.output(&key("a-1"), PIPELINE, 100).await);
    assert_eq!(
        message,
        "`system:serviceaccount:ops:wardroom` may not get `pods/log` in the namespace `ci`; add to a Role there: apiGroups: \
         [\"\"], resources: [\"pods/log\"], verbs: [\"get\"]"
    );
}
