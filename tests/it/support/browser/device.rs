//! What a person's device and system are: the size of the screen, the theme, zone and language, the network; and what a
//! page takes of the machine.

use serde_json::{Value, json};

use super::{log::whole, tab::Tab};

/// What a person has set in the system. By default the light theme, with motion.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Media {
    pub(crate) dark: bool,
    /// As little motion as possible.
    pub(crate) still: bool,
    /// The system's few colours in place of the page's.
    pub(crate) forced_colors: bool,
}

/// What a page takes, after its garbage was collected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counters {
    pub(crate) heap_bytes: u64,
    /// Nodes that are kept, in the document or not.
    pub(crate) nodes: u64,
    pub(crate) listeners: u64,
    pub(crate) documents: u64,
}

impl Tab {
    /// A window of this size, in CSS pixels.
    #[track_caller]
    pub(crate) fn viewport(&self, width: u32, height: u32) {
        let screen = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.cdp("Emulation.setDeviceMetricsOverride", &screen);
        self.frame();
    }

    /// A phone with a screen of this size. The window is touched from now on, and has no mouse any more.
    #[track_caller]
    pub(crate) fn phone(&self, width: u32, height: u32) {
        let screen = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": true});
        self.cdp("Emulation.setTouchEmulationEnabled", &json!({"enabled": true}));
        self.cdp("Emulation.setDeviceMetricsOverride", &screen);
        self.frame();
    }

    /// Sets what the system prefers; the page follows at once.
    #[track_caller]
    pub(crate) fn media(&self, media: Media) {
        let either = |is: bool, yes: &str, no: &str| if is { yes.to_owned() } else { no.to_owned() };
        let features = [
            ("prefers-color-scheme", either(media.dark, "dark", "light")),
            ("prefers-reduced-motion", either(media.still, "reduce", "no-preference")),
            ("forced-colors", either(media.forced_colors, "active", "none")),
        ];
        let features: Vec<Value> = features.map(|(name, value)| json!({"name": name, "value": value})).into();
        self.cdp("Emulation.setEmulatedMedia", &json!({"features": features}));
        self.frame();
    }

    /// The system's time zone: `Asia/Dhaka`.
    #[track_caller]
    pub(crate) fn zone(&self, zone: &str) {
        self.cdp("Emulation.setTimezoneOverride", &json!({"timezoneId": zone}));
    }

    /// The system's language for dates and numbers; what the page is told of preferred languages stays as it is.
    #[track_caller]
    pub(crate) fn locale(&self, locale: &str) {
        self.cdp("Emulation.setLocaleOverride", &json!({"locale": locale}));
    }

    /// Takes the network away or gives it back, as the browser notices it itself (`navigator.onLine`): new requests fail.
    /// What is open stays open; `Relay` cuts that.
    #[track_caller]
    pub(crate) fn offline(&self, offline: bool) {
        let network = json!({"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
        self.cdp("Network.emulateNetworkConditions", &network);
    }

    /// Counts what the page takes.
    #[track_caller]
    pub(crate) fn counters(&self) -> Counters {
        let nothing = json!({});
        self.cdp("Performance.enable", &nothing);
        self.cdp("HeapProfiler.collectGarbage", &nothing);
        let metrics = self.cdp("Performance.getMetrics", &nothing);
        let heap = metrics["metrics"].as_array().unwrap().iter().find(|metric| metric["name"] == "JSHeapUsedSize");
        let kept = self.cdp("Memory.getDOMCounters", &nothing);
        let number = |name: &str| kept[name].as_u64().unwrap();
        Counters {
            heap_bytes: whole(heap.unwrap()["value"].as_f64().unwrap()),
            nodes: number("nodes"),
            listeners: number("jsEventListeners"),
            documents: number("documents"),
        }
    }

    /// How long each task over 50 ms was that the page has had since it was loaded, in milliseconds.
    #[track_caller]
    pub(crate) fn long_tasks(&self) -> Vec<f64> {
        let js = "return new Promise(resolve => {
            const observer = new PerformanceObserver(list => resolve(list.getEntries().map(task => task.duration)));
            observer.observe({type: 'longtask', buffered: true});
            setTimeout(() => resolve(observer.takeRecords().map(task => task.duration)), 200);
        })";
        serde_json::from_value(self.evaluate(js, &[])).unwrap()
    }
}
