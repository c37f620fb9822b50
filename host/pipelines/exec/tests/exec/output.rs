//! Tests of the output of pipeline runs: storing it, reading it during a run, and reading its last bytes.

use std::{
    fs::{self, File},
    process::Command,
    time::{Duration, Instant},
};

use wardroom::{adapter::RunState, model::Outcome};

use crate::harness::{PIPELINE, TestHost, key, program, run, values, wait};

#[tokio::test]
async fn stored_output_is_bounded() {
    let host = TestHost::new();
    let script = "echo first; i=0; while [ $i -lt 300 ]; do head -c 65535 /dev/zero | tr '\\0' x; echo; i=$((i+1)); done; echo last";
    let pipelines = host.script(script, "");
    let (end, lines) = run(&pipelines, "a-1", &[]).await;
    assert_eq!(end.outcome, Outcome::Succeeded);
    // Following begins with the last 64 KiB of output, so the first line may be missing.
    assert!(lines.last().unwrap() == "last" && lines.iter().all(|line| line.len() <= 16 << 10));
    let kept: u64 =
        fs::read_dir(host.runs().join("a-1")).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!((5 << 20..7 << 20).contains(&kept), "{kept} bytes were kept");
    let tail = pipelines.output(&key("a-1"), PIPELINE, 100_000_000).await.unwrap();
    assert!(
        tail.starts_with("first\n") && tail.ends_with("\nlast\n") && tail.contains("bytes of output were not kept]")
    );
    assert_eq!(pipelines.output(&key("a-1"), PIPELINE, 5).await.unwrap(), "last\n");
}

/// The resident memory of a process, in bytes; `None` if the process has ended.
fn memory(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10)
}

#[tokio::test]
async fn following_fast_output_takes_bounded_memory_and_time() {
    let host = TestHost::new();
    // Several hundred MiB a second, in lines of six bytes.
    let keys = "run = ['yes', '1.0.2']\ntimeout = '3s'\ngrace = '1s'";
    let pipelines = host.read(keys, &[]).unwrap();
    fs::write(host.path("config.toml"), keys).unwrap();
    // A separate process, because other tests use the memory of this one.
    let mut waiting = Command::new(program("start"))
        .args([host.path("config.toml"), host.runs(), program("supervisor"), "a-1".into()])
        .stdout(File::create(host.path("printed")).unwrap())
        .spawn()
        .unwrap();
    let (began, mut most) = (Instant::now(), 0);
    let status = loop {
        most = most.max(memory(waiting.id()).unwrap_or(0));
        let status = waiting.try_wait().unwrap();
        if status.is_some() || most > 64 << 20 || began.elapsed() > Duration::from_secs(20) {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let seen = wardroom::Timestamp::now();
    if status.is_none() {
        waiting.kill().unwrap();
        waiting.wait().unwrap();
        panic!("after {:?} the host uses {} MiB and has not detected the end", began.elapsed(), most >> 20);
    }
    let RunState::Ended(end) = pipelines.state(&key("a-1"), PIPELINE).await.unwrap() else {
        panic!("the run has not ended")
    };
    assert_eq!((end.outcome, end.message.as_str()), (Outcome::Failed, "timed out after 3 s"));
    assert!(seen.duration_since(end.ended).as_millis() < 2000, "seen at {seen}, ended at {}", end.ended);

    let printed = fs::read_to_string(host.path("printed")).unwrap();
    let lines: Vec<&str> = printed.lines().collect();
    let [first, middle @ .., before_last, last] = lines.as_slice() else { panic!("there is no output") };
    assert_eq!((*first, *last), ("started", "failed timed out after 3 s"));
    // The last line is incomplete where the program was killed while it wrote; so is a line before skipped output.
    assert!("1.0.2".starts_with(before_last), "{before_last}");
    let (passed, shown): (Vec<&str>, Vec<&str>) = middle.iter().partition(|line| line.starts_with("[... "));
    assert!(
        passed.iter().all(|line| line.ends_with(" bytes of output were skipped because the output grew too fast]"))
    );
    assert!(shown.iter().all(|line| "1.0.2".starts_with(line)));
    assert!(passed.len() > 1 && shown.len() > 1000, "{} and {}", passed.len(), shown.len());
}

#[tokio::test]
async fn the_tail_of_endless_output_is_read_at_once() {
    let host = TestHost::new();
    let pipelines = host.read("run = ['yes']", &[]).unwrap();
    pipelines.start(&key("a-1"), PIPELINE, &values(&[])).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let asked = Instant::now();
    let tail = pipelines.output(&key("a-1"), PIPELINE, 100_000_000).await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(10));
    assert!(tail.starts_with("y\n") && tail.len() < 16 << 20, "{} bytes", tail.len());
    pipelines.cancel(&key("a-1"), PIPELINE).await.unwrap();
    assert_eq!(wait(&pipelines, "a-1").await.0.outcome, Outcome::Cancelled);
}

#[tokio::test]
async fn output_that_is_not_utf8_is_replaced() {
    let host = TestHost::new();
    let pipelines = host.script(r"printf '\377\376ok\r\n\000\n'; head -c 100000 /dev/urandom", "");
    let (end, lines) = run(&pipelines, "a-1", &[]).await;
    assert_eq!(end.outcome, Outcome::Succeeded);
    assert!(!lines.is_empty());
    assert!(pipelines.output(&key("a-1"), PIPELINE, 3000).await.unwrap().len() <= 3000);

    let (_, lines) = run(&host.script(r"printf '\377\376ok\r\n\000\n'", ""), "a-2", &[]).await;
    assert_eq!(lines, ["\u{fffd}\u{fffd}ok", ""], "a terminal ignores NUL");
}
