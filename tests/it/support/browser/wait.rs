//! Waiting for what a page comes to, frame by frame inside of it, and saying what there is where it does not come.

use std::{
    fmt::{Display, Write as _},
    path::PathBuf,
    time::{Duration, Instant},
};

use fantoccini::error::{CmdError, ErrorStatus};
use serde_json::{Value, json};

use super::tab::{PICTURES, Tab, VISIBLE};

/// Looks in every frame, or after 50 ms where no frames are drawn, for a while; then whoever waits asks again. A condition
/// that throws is not yet true: what it asks about may not be there.
const LOOK: &str = "
    const args = arguments;
    const condition = async function () { CONDITION };
    const end = performance.now() + WHILE;
    const next = () => new Promise(resolve => { requestAnimationFrame(resolve); setTimeout(resolve, 50); });
    return (async () => {
        let trouble = null;
        do {
            try {
                const value = await condition.apply(null, args);
                if (value) return {value};
                trouble = null;
            } catch (error) {
                trouble = String(error);
            }
            await next();
        } while (performance.now() < end);
        return {trouble};
    })();";

/// One look into a page takes as long at most, so that another window can be asked between two.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// As much of a page's text is shown when a test fails.
const TEXT_MAX: usize = 3000;

impl Tab {
    /// Waits until the body of a function returns something true, and gives that. `what` says what is wanted.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, js: &str, args: &[Value]) -> Value {
        let pause = self.patience.min(LOOK_MAX).as_millis().to_string();
        let script = LOOK.replace("WHILE", &pause).replace("CONDITION", js);
        let begun = Instant::now();
        let mut trouble = "it was not so".to_owned();
        while begun.elapsed() < self.patience {
            let looked = self.driver.on(&self.window, async |client| client.execute(&script, args.to_vec()).await);
            match looked {
                Ok(looked) if !looked["value"].is_null() => return looked["value"].clone(),
                Ok(looked) => looked["trouble"].as_str().unwrap_or("it was not so").clone_into(&mut trouble),
                Err(error) if is_for_good(&error) => self.fail(what, &error),
                // The page has gone away under it: the next one is asked.
                Err(error) => trouble = error.to_string(),
            }
        }
        self.fail(&format!("{what}, for {} s", begun.elapsed().as_secs()), &trouble)
    }

    /// Waits until an element can be seen.
    #[track_caller]
    pub(crate) fn wait_for(&self, css: &str) {
        self.wait(&format!("see {css}"), VISIBLE, &[json!(css)]);
    }

    /// Waits until none of these elements can be seen.
    #[track_caller]
    pub(crate) fn wait_gone(&self, css: &str) {
        let js = format!("return !(function () {{ {VISIBLE} }})(arguments[0])");
        self.wait(&format!("see no {css}"), &js, &[json!(css)]);
    }

    /// Waits until an element's text has these words.
    #[track_caller]
    pub(crate) fn wait_text(&self, css: &str, words: &str) {
        let js =
            "return [...document.querySelectorAll(arguments[0])].some(one => one.innerText.includes(arguments[1]))";
        self.wait(&format!("read {words:?} in {css}"), js, &[json!(css), json!(words)]);
    }

    /// Waits until the selector finds as many elements.
    #[track_caller]
    pub(crate) fn wait_count(&self, css: &str, count: usize) {
        let js = "return document.querySelectorAll(arguments[0]).length === arguments[1]";
        self.wait(&format!("find {css} {count} times"), js, &[json!(css), json!(count)]);
    }

    /// Waits until the address ends like this.
    #[track_caller]
    pub(crate) fn wait_url(&self, end: &str) {
        self.wait(&format!("be at {end}"), "return location.href.endsWith(arguments[0])", &[json!(end)]);
    }

    /// Waits until the next frame is drawn.
    #[track_caller]
    pub(crate) fn frame(&self) {
        let js = "return new Promise(resolve => {
            const done = () => resolve(true);
            requestAnimationFrame(() => setTimeout(done));
            setTimeout(done, 50);
        })";
        self.wait("draw a frame", js, &[]);
    }

    /// Fails, and says what there is: the address, the page's text, the console; a picture is left for people.
    #[track_caller]
    pub(super) fn fail(&self, what: &str, why: &dyn Display) -> ! {
        let ask = |js: &str| {
            let asked = self.driver.on(&self.window, async |client| client.execute(js, Vec::new()).await);
            asked.map_or_else(|error| error.to_string(), |text| text.as_str().unwrap_or_default().to_owned())
        };
        let mut text: String = ask("return document.body.innerText").chars().take(TEXT_MAX).collect();
        text = text.replace('\n', "\n    ");
        let mut report =
            format!("can't {what}: {why}\n  at {}\n  the page says:\n    {text}", ask("return location.href"));
        report += "\n  the console has:";
        for line in self.driver.log(|log| log.console.clone()) {
            let _ = write!(report, "\n    {line}");
        }
        let name = std::thread::current().name().unwrap_or("page").replace("::", "-");
        let path = PathBuf::from(PICTURES).join(format!("failed-{name}.png"));
        if let Ok(png) = self.driver.on(&self.window, async |client| client.screenshot().await) {
            let kept = std::fs::create_dir_all(PICTURES).and_then(|()| std::fs::write(&path, png));
            if kept.is_ok() {
                let _ = write!(report, "\n  a picture of it: {}", path.display());
            }
        }
        panic!("{report}")
    }
}

/// True where asking again would not help: the script is no script, or there is no browser.
fn is_for_good(error: &CmdError) -> bool {
    let CmdError::Standard(error) = error else { return true };
    // What a condition throws is caught, so this is no script; or the page was left while it was asked.
    let is_no_script = error.error == ErrorStatus::JavascriptError && !error.message.contains("navigat");
    is_no_script || matches!(error.error, ErrorStatus::InvalidSessionId | ErrorStatus::NoSuchWindow)
}
