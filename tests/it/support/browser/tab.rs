//! One window: where it is, what it shows, and what a script in it says.
//!
//! What reads or touches an element waits until there is one; what counts or lists looks at once.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use fantoccini::{
    Client,
    elements::{Element, ElementRef},
    error::CmdError,
};
use serde_json::{Value, json};

use super::{PATIENCE, driver::Driver, log::Request};

/// Pictures for people to look at; not kept in the repository.
pub(super) const PICTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/page");

/// Names an element in an answer of a script, by WebDriver's standard.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// What the browser shows where nobody answers.
const ERROR_PAGE: &str = "return location.protocol === 'chrome-error:' ? document.body.innerText : null";

/// The first that is there.
const PRESENT: &str = "return document.querySelector(arguments[0])";

/// The first that can be seen and used.
pub(super) const USABLE: &str = "
    return [...document.querySelectorAll(arguments[0])].find(one => one.checkVisibility({visibilityProperty: true})
        && one.getClientRects().length > 0 && !one.matches(':disabled, [aria-disabled=true]'))";

/// Whether one can be seen.
pub(super) const VISIBLE: &str = "
    return [...document.querySelectorAll(arguments[0])].some(one => one.checkVisibility({visibilityProperty: true})
        && one.getClientRects().length > 0)";

/// A window of a browser. Dropping it leaves it open; the browser ends when the last value that knows it is dropped.
pub(crate) struct Tab {
    pub(super) driver: Arc<Driver>,
    pub(super) window: String,
    pub(super) patience: Duration,
}

impl Tab {
    pub(super) fn new(driver: Arc<Driver>, window: String) -> Self {
        Self { driver, window, patience: PATIENCE }
    }

    /// The same, but it gives up sooner: for tests of what must not come.
    pub(crate) fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Goes to an address, absolute or from where it is, and waits until that is loaded.
    #[track_caller]
    pub(crate) fn goto(&self, url: &str) {
        self.try_goto(url).unwrap_or_else(|error| self.fail(&format!("go to {url}"), &error));
    }

    /// Goes to an address; the browser's words where nobody answers there.
    pub(crate) fn try_goto(&self, url: &str) -> Result<(), String> {
        self.load(async |client| client.goto(url).await)
    }

    /// Loads the page again, as with F5.
    #[track_caller]
    pub(crate) fn reload(&self) {
        self.try_reload().unwrap_or_else(|error| self.fail("reload", &error));
    }

    /// Loads the page again; the browser's words where nobody answers.
    pub(crate) fn try_reload(&self) -> Result<(), String> {
        self.load(Client::refresh)
    }

    fn load(&self, work: impl AsyncFnOnce(&Client) -> Result<(), CmdError>) -> Result<(), String> {
        let loaded = self.driver.on(&self.window, async |client| {
            work(client).await?;
            client.execute(ERROR_PAGE, Vec::new()).await
        });
        let loaded = loaded.map_err(|error| error.to_string())?;
        loaded.as_str().map_or(Ok(()), |words| Err(words.to_owned()))
    }

    /// Goes back by one entry of the history.
    #[track_caller]
    pub(crate) fn back(&self) {
        self.does("go back", Client::back);
    }

    /// Goes forward by one entry of the history.
    #[track_caller]
    pub(crate) fn forward(&self) {
        self.does("go forward", Client::forward);
    }

    /// Closes the window.
    #[track_caller]
    pub(crate) fn close(self) {
        self.does("close", Client::close_window);
    }

    /// The address that it shows.
    #[track_caller]
    pub(crate) fn url(&self) -> String {
        self.does("say its address", Client::current_url).into()
    }

    /// The page's title.
    #[track_caller]
    pub(crate) fn title(&self) -> String {
        self.does("say its title", Client::title)
    }

    /// Runs the body of a function in the page, with `arguments`; a promise is waited for. What it returns, as JSON.
    #[track_caller]
    pub(crate) fn evaluate(&self, js: &str, args: &[Value]) -> Value {
        self.does(&format!("evaluate {js}"), async |client| client.execute(js, args.to_vec()).await)
    }

    /// How many elements the selector finds now.
    #[track_caller]
    pub(crate) fn count(&self, css: &str) -> usize {
        let count = self.evaluate("return document.querySelectorAll(arguments[0]).length", &[json!(css)]);
        usize::try_from(count.as_u64().unwrap()).unwrap()
    }

    /// True where one of them can be seen now; scrolled out of sight counts as seen.
    #[track_caller]
    pub(crate) fn shows(&self, css: &str) -> bool {
        self.evaluate(VISIBLE, &[json!(css)]) == true
    }

    /// The texts of all elements that the selector finds now, as they are rendered.
    #[track_caller]
    pub(crate) fn texts(&self, css: &str) -> Vec<String> {
        let js = "return [...document.querySelectorAll(arguments[0])].map(one => one.innerText)";
        serde_json::from_value(self.evaluate(js, &[json!(css)])).unwrap()
    }

    /// The text of an element, as it is rendered.
    #[track_caller]
    pub(crate) fn text(&self, css: &str) -> String {
        self.property(css, "innerText").as_str().unwrap_or_default().to_owned()
    }

    /// What stands in a field.
    #[track_caller]
    pub(crate) fn value(&self, css: &str) -> String {
        self.property(css, "value").as_str().unwrap_or_default().to_owned()
    }

    /// A property of an element.
    #[track_caller]
    pub(crate) fn property(&self, css: &str, name: &str) -> Value {
        let js = "const one = document.querySelector(arguments[0]); return one && {its: one[arguments[1]] ?? null}";
        self.wait(&format!("{css}, to read {name}"), js, &[json!(css), json!(name)])["its"].clone()
    }

    /// An attribute of an element; nothing where it has none of this name.
    #[track_caller]
    pub(crate) fn attribute(&self, css: &str, name: &str) -> Option<String> {
        let js =
            "const one = document.querySelector(arguments[0]); return one && {its: one.getAttribute(arguments[1])}";
        let found = self.wait(&format!("{css}, to read {name}"), js, &[json!(css), json!(name)]);
        found["its"].as_str().map(str::to_owned)
    }

    /// A style of an element as it is computed, such as `color`.
    #[track_caller]
    pub(crate) fn style(&self, css: &str, name: &str) -> String {
        let js = "const one = document.querySelector(arguments[0]);
            return one && {its: getComputedStyle(one).getPropertyValue(arguments[1])}";
        let found = self.wait(&format!("{css}, to read {name}"), js, &[json!(css), json!(name)]);
        found["its"].as_str().unwrap_or_default().to_owned()
    }

    /// The role and the name that assistive technology is given for an element; `:focus` is the one with the focus.
    #[track_caller]
    pub(crate) fn accessible(&self, css: &str) -> (String, String) {
        let found = self.wait(&format!("{css}, to read its role and name"), PRESENT, &[json!(css)]);
        let id = id_of(&found);
        let ask = |what: &str| {
            let answer = self.driver.call(&self.window, &format!("element/{id}/computed{what}"), Value::Null);
            answer.unwrap_or_else(|error| self.fail("read what is accessible", &error)).as_str().unwrap().to_owned()
        };
        (ask("role"), ask("label"))
    }

    /// The requests of this window so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        let is_mine = |request: &&Request| request.window == self.window;
        self.driver.log(|log| log.requests.iter().filter(is_mine).cloned().collect())
    }

    /// Takes a picture of what is in sight: `target/page/NAME-WIDTH-light.png`, or `dark`.
    #[track_caller]
    pub(crate) fn shot(&self, name: &str) -> PathBuf {
        let js = "return `${innerWidth}-${matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'}`";
        let kind = self.evaluate(js, &[]);
        let path = PathBuf::from(PICTURES).join(format!("{name}-{}.png", kind.as_str().unwrap()));
        self.screenshot(path.clone());
        path
    }

    /// Takes a picture of what is in sight.
    #[track_caller]
    pub(crate) fn screenshot(&self, path: PathBuf) {
        let png = self.does("take a picture", Client::screenshot);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, png).unwrap();
    }

    /// Makes a call of the DevTools protocol.
    #[track_caller]
    pub(crate) fn cdp(&self, command: &str, params: &Value) -> Value {
        let body = json!({"cmd": command, "params": params});
        self.driver
            .call(&self.window, "goog/cdp/execute", body)
            .unwrap_or_else(|error| self.fail(&format!("{command} {params}"), &error))
    }

    /// Does something that must not fail.
    #[track_caller]
    pub(super) fn does<T>(&self, what: &str, work: impl AsyncFnOnce(&Client) -> Result<T, CmdError>) -> T {
        self.driver.on(&self.window, work).unwrap_or_else(|error| self.fail(what, &error))
    }
}

/// The element in the answer of a script.
pub(super) fn element(client: &Client, found: &Value) -> Element {
    Element::from_element_id(client.clone(), ElementRef::from(id_of(found)))
}

fn id_of(found: &Value) -> String {
    found[ELEMENT].as_str().unwrap_or_else(|| panic!("no element: {found}")).to_owned()
}
