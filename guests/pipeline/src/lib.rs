//! The plugin `pipeline`: shows and runs the pipelines of other systems, also those that no app deploys with, and answers
//! the gates at which their runs wait.
//!
//! Invariant: the plugin passes on what the person typed. The host parses the parameters of a run.

mod format;

use wardroom_guest::pipelines::{Gate, GateAnswer, PipelineQuery, Request, RunInfo, RunOf};
use wardroom_guest::{Arguments, Command, Entry, Failure, Parameter, Plugin, Reply, chat, pipelines, wait_for};

/// The name of the entry whose value is the typed text with all parameters.
const ALL: &str = "*";
/// The number of lines that `pipeline log` shows by default.
const LINES: u32 = 20;

const PIPELINE: Parameter = Parameter::text("pipeline", "the pipeline: APP/ENVIRONMENT, or SYSTEM:PATH");
const RUN: Parameter = Parameter::text("run", "the id of the run in its system");

struct Pipeline;

impl Plugin for Pipeline {
    const COMMANDS: &'static [Command] = &[
        Command::query("pipeline", "Shows the parameters and the newest runs of a pipeline.", show)
            .examples(&["pipeline ci:web/cms"])
            .parameters(&[PIPELINE]),
        Command::query("pipeline list", "Lists the pipelines of a system.", list)
            .examples(&["pipeline list ci", "pipeline list ci deploy"])
            .parameters(&[
                Parameter::text("system", "the name of the system"),
                Parameter::text("filter", "a part of the name; default: all").optional(),
            ]),
        Command::query("pipeline show", "Shows the parameters and the newest runs of a pipeline.", show)
            .examples(&["pipeline show ci:web/cms"])
            .parameters(&[PIPELINE]),
        Command::query("pipeline status", "Shows a run: its stages, and what it waits for.", status)
            .examples(&["pipeline status ci:web/cms 17"])
            .parameters(&[PIPELINE, RUN]),
        Command::query("pipeline log", "Shows the end of the output of a run.", log)
            .examples(&["pipeline log ci:web/cms 17", "pipeline log ci:web/cms 17 --lines 100"])
            .parameters(&[
                PIPELINE,
                RUN,
                Parameter::integer("lines", "the number of lines; default: 20, at most 200").optional().named(),
            ]),
        Command::query("pipeline tests", "Shows the test results of a run.", tests)
            .examples(&["pipeline tests ci:web/cms 17"])
            .parameters(&[PIPELINE, RUN]),
        Command::action("pipeline run", "Runs a pipeline and waits for its end.", run)
            .examples(&["pipeline run ci:web/cms TAG=1.0.2 NOTE=\"two words\""])
            .parameters(&[
                PIPELINE,
                Parameter::rest("parameters", "NAME=VALUE for each parameter, or lines of TOML, or a JSON object")
                    .optional(),
            ]),
        Command::action("pipeline cancel", "Stops a run.", cancel)
            .examples(&["pipeline cancel ci:web/cms 17"])
            .parameters(&[PIPELINE, RUN]),
        Command::action("pipeline answer", "Answers the question at which a run waits.", answer)
            .examples(&["pipeline answer ci:web/cms 17 proceed", "pipeline answer ci:web/cms 17 abort"])
            .parameters(&[
                PIPELINE,
                RUN,
                Parameter::text("answer", "whether the run goes on").choices(&["proceed", "abort"]),
                Parameter::text("choice", "one of the answers that the question offers").optional(),
                Parameter::text("gate", "the id of the question; required if the run waits at several")
                    .optional()
                    .named(),
            ]),
    ];
}

wardroom_guest::export!(Pipeline);

fn list(arguments: &Arguments) -> Result<Reply, Failure> {
    let (system, filter) = (arguments.text("system")?, arguments.optional("filter").unwrap_or_default());
    let names = pipelines::list(&PipelineQuery { system: system.to_owned(), filter: filter.to_owned() })?;
    Ok(Reply::new(if names.is_empty() {
        format!("There are no such pipelines of {system} that you may see.")
    } else {
        names.join("\n")
    }))
}

fn show(arguments: &Arguments) -> Result<Reply, Failure> {
    let pipeline = arguments.text("pipeline")?;
    Ok(Reply::new(format::description(pipeline, &pipelines::describe(pipeline)?)))
}

fn status(arguments: &Arguments) -> Result<Reply, Failure> {
    let named = named(arguments)?;
    Ok(Reply::new(format::status(&named.pipeline, &pipelines::status(&named)?)))
}

fn log(arguments: &Arguments) -> Result<Reply, Failure> {
    let lines = arguments.optional_integer("lines").and_then(|lines| u32::try_from(lines).ok()).unwrap_or(LINES);
    let output = pipelines::output(&named(arguments)?, lines)?;
    Ok(Reply::new(if output.is_empty() { "The run has no output.".to_owned() } else { output.join("\n") }))
}

fn tests(arguments: &Arguments) -> Result<Reply, Failure> {
    Ok(Reply::new(format::tests(&pipelines::tests(&named(arguments)?)?)))
}

fn run(arguments: &Arguments) -> Result<Reply, Failure> {
    let pipeline = arguments.text("pipeline")?;
    let typed = arguments.optional("parameters");
    let parameters = typed.map(|text| Entry { name: ALL.to_owned(), value: text.to_owned() });
    let request = Request { pipeline: pipeline.to_owned(), parameters: parameters.into_iter().collect() };
    let run = pipelines::trigger(&request)?;
    chat::stage(&chat::Message { text: format!("runs {pipeline}") })?;
    format::ended(pipeline, &wait_for(&run)?)
}

fn cancel(arguments: &Arguments) -> Result<Reply, Failure> {
    let named = named(arguments)?;
    pipelines::cancel(&named)?;
    Ok(Reply::new(format!("{}: asked to stop run {}.", named.pipeline, named.run)))
}

fn answer(arguments: &Arguments) -> Result<Reply, Failure> {
    let named = named(arguments)?;
    let proceeds = arguments.text("answer")? == "proceed";
    let run = pipelines::status(&named)?;
    let gate = gate(&run, arguments.optional("gate"))?;
    let word = if proceeds { "goes on" } else { "ends" };
    let told = format!("{}: run {} {word} at \"{}\".", named.pipeline, run.id, gate.message);
    let choice = arguments.optional("choice").map(str::to_owned);
    let (gate, question) = (gate.id.clone(), gate.message.clone());
    pipelines::answer(&GateAnswer { pipeline: named.pipeline, run: named.run, gate, question, proceeds, choice })?;
    Ok(Reply::new(told))
}

fn named(arguments: &Arguments) -> Result<RunOf, Failure> {
    Ok(RunOf { pipeline: arguments.text("pipeline")?.to_owned(), run: arguments.text("run")?.to_owned() })
}

/// Returns the gate that the person means.
///
/// # Errors
/// `invalid` if the run does not wait at the gate, or if it waits at several and none was typed.
fn gate<'r>(run: &'r RunInfo, typed: Option<&str>) -> Result<&'r Gate, Failure> {
    let nothing = || Failure::invalid(format!("run {} does not wait for an answer", run.id));
    match (run.gates.as_slice(), typed) {
        ([], _) => Err(nothing()),
        (gates, Some(id)) => gates.iter().find(|gate| gate.id == id).ok_or_else(nothing),
        ([gate], None) => Ok(gate),
        (gates, None) => {
            let names: Vec<String> =
                gates.iter().map(|gate| format!("--gate {} ({})", gate.id, gate.message)).collect();
            Err(Failure::invalid(format!(
                "run {} waits at several questions; add one of: {}",
                run.id,
                names.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests_of_gates {
    use super::*;

    #[test]
    fn the_only_gate_needs_no_id() {
        let gate_of = |id: &str| Gate { id: id.to_owned(), message: "Go?".to_owned(), choices: Vec::new() };
        let mut run = format::tests_of_runs::run("running");
        assert_eq!(gate(&run, None).unwrap_err().message, "run 17 does not wait for an answer");
        run.gates = vec![gate_of("a")];
        assert_eq!(gate(&run, None).unwrap().id, "a");
        run.gates.push(gate_of("b"));
        assert_eq!(gate(&run, Some("b")).unwrap().id, "b");
        assert_eq!(
            gate(&run, None).unwrap_err().message,
            "run 17 waits at several questions; add one of: --gate a (Go?), --gate b (Go?)"
        );
    }
}
