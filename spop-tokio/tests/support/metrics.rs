use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

/// A recorder that a test can ask.
#[derive(Clone, Default)]
pub(crate) struct Metrics {
    metrics: Arc<Mutex<BTreeMap<String, Arc<Metric>>>>,
    described: Arc<Mutex<Described>>,
}

/// Kind and unit, by name.
type Described = BTreeMap<String, (&'static str, Option<Unit>)>;

/// A counter or a gauge, or the sum and the number of a histogram's samples. To record takes no allocation.
#[derive(Default)]
pub(crate) struct Metric(Mutex<(f64, usize)>);

impl Metrics {
    /// Runs `test` in a runtime of its own, with paused time, and with these metrics as its recorder.
    pub(crate) fn record(test: impl AsyncFnOnce(Self)) {
        let metrics = Self::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        metrics::with_local_recorder(&metrics, || runtime.unwrap().block_on(test(metrics.clone())));
    }

    /// The value of `key`, which is written as Prometheus does; `None` if there is no such metric.
    pub(crate) fn get(&self, key: &str) -> Option<f64> {
        self.metrics.lock().unwrap().get(key).map(|metric| metric.0.lock().unwrap().0)
    }

    /// How many samples the histogram `key` has.
    pub(crate) fn samples(&self, key: &str) -> usize {
        self.metrics.lock().unwrap()[key].0.lock().unwrap().1
    }

    /// The metrics of `name` that are not zero, by their labels.
    pub(crate) fn by_labels(&self, name: &str) -> Vec<(String, f64)> {
        let metrics = self.metrics.lock().unwrap();
        let of_name = metrics.iter().filter_map(|(key, metric)| {
            let labels = key.strip_prefix(name)?.strip_prefix('{')?.strip_suffix('}')?;
            Some((labels.to_owned(), metric.0.lock().unwrap().0))
        });
        of_name.filter(|(_, value)| *value != 0.0).collect()
    }

    /// What was described.
    pub(crate) fn described(&self) -> Described {
        self.described.lock().unwrap().clone()
    }

    /// The names of all metrics.
    pub(crate) fn names(&self) -> Vec<String> {
        let metrics = self.metrics.lock().unwrap();
        metrics.keys().map(|key| key.split('{').next().unwrap_or_default().to_owned()).collect()
    }

    fn register(&self, key: &Key) -> Arc<Metric> {
        let labels: Vec<_> =
            key.labels().map(|label| format!("{}=\"{}\"", label.key(), label.value())).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        self.metrics.lock().unwrap().entry(format!("{}{labels}", key.name())).or_default().clone()
    }

    fn describe(&self, name: &KeyName, kind: &'static str, unit: Option<Unit>) {
        self.described.lock().unwrap().insert(name.as_str().to_owned(), (kind, unit));
    }
}

impl Recorder for Metrics {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&name, "counter", unit);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&name, "gauge", unit);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&name, "histogram", unit);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.register(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.register(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.register(key))
    }
}

impl Metric {
    fn add(&self, value: f64) {
        let mut metric = self.0.lock().unwrap();
        *metric = (metric.0 + value, metric.1 + 1);
    }

    fn set_to(&self, value: f64) {
        let mut metric = self.0.lock().unwrap();
        *metric = (value, metric.1 + 1);
    }
}

impl CounterFn for Metric {
    fn increment(&self, value: u64) {
        self.add(value as f64);
    }

    fn absolute(&self, value: u64) {
        self.set_to(value as f64);
    }
}

impl GaugeFn for Metric {
    fn increment(&self, value: f64) {
        self.add(value);
    }

    fn decrement(&self, value: f64) {
        self.add(-value);
    }

    fn set(&self, value: f64) {
        self.set_to(value);
    }
}

impl HistogramFn for Metric {
    fn record(&self, value: f64) {
        self.add(value);
    }
}
