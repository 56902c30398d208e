//! The API of OpenAI as clients that others wrote speak it: the official ones for Python and JavaScript, and programs that
//! stand on them.
//!
//! Each test runs one file of `sdk/` in its own language, which asks for servers, gates and kills over `sdk/stage.rs`.
//! `tests/run` installs what they need.

mod stage;

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use stage::Stage;

/// Where they stand.
const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/sdk");
/// A run that hangs is a run that fails, seconds.
const PATIENCE: &str = "300";

/// Has `run` play on a stage of its own; fails with what it said where it did not pass.
#[track_caller]
fn passes(run: impl FnOnce(&mut Command)) {
    let home = tempfile::tempdir().unwrap();
    let stage = Stage::new();
    let played = stage.play(|address| {
        let mut command = Command::new("timeout");
        command
            .arg(PATIENCE)
            .env_clear()
            .envs(["PATH", "LANG"].into_iter().filter_map(|name| Some((name, env::var_os(name)?))))
            .env("HOME", home.path()) // What they keep goes with the test.
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1") // Those of others take longer to load than most files to run.
            .env("BONDHU_STAGE", address.to_string())
            .current_dir(HERE)
            .stdin(Stdio::null());
        run(&mut command);
        command.output().unwrap()
    });
    let told = [played.stdout, played.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(played.status.success(), "{told}");
    assert!(told.contains(" passed") || told.contains("# pass "), "nothing was tested:\n{told}");
    stage.is_calm();
}

/// What `tests/run` installs there.
#[track_caller]
fn installed(path: &str) -> PathBuf {
    let path = Path::new(HERE).join(path);
    assert!(path.exists(), "{} is missing: tests/run installs it", path.display());
    path
}

/// Has pytest run the tests of a file.
#[track_caller]
fn python(file: &str) {
    let pytest = installed("venv/bin/pytest");
    passes(|command| {
        command.arg(pytest).args(["-q", "--tb=short", "--no-header", "-p", "no:cacheprovider", "-W", "error", file]);
    });
}

/// Has node run the tests of a file.
#[track_caller]
fn node(file: &str) {
    installed("node_modules/openai");
    passes(|command| {
        command.args(["node", "--test", "--test-reporter=tap", file]);
    });
}

#[test]
fn the_python_client_lists_models_and_has_its_errors() {
    python("test_errors.py");
}

#[test]
fn the_python_client_completes_chats() {
    python("test_completions.py");
}

#[test]
fn the_python_client_keeps_completions() {
    python("test_stored_completions.py");
}

#[test]
fn the_python_client_holds_conversations() {
    python("test_conversations.py");
}

#[test]
fn the_python_client_has_responses() {
    python("test_responses.py");
}

#[test]
fn the_python_client_goes_on_with_a_stream_after_a_kill() {
    python("test_streams.py");
}

#[test]
fn the_python_client_never_says_anything_twice() {
    python("test_repeats.py");
}

#[test]
fn the_python_client_is_held_to_the_scopes_of_its_key() {
    python("test_keys.py");
}

#[test]
fn the_javascript_client_drives_every_call() {
    node("client.test.mjs");
}

#[test]
fn langchain_has_conversations_with_a_base_url_and_a_key() {
    python("test_langchain.py");
}

#[test]
fn the_llm_command_has_conversations_with_a_base_url_and_a_key() {
    python("test_llm.py");
}

#[test]
fn the_ai_sdk_has_conversations_with_a_base_url_and_a_key() {
    node("ai.test.mjs");
}

#[test]
fn the_cases_of_open_responses_pass() {
    python("test_open_responses.py");
}
