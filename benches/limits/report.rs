//! What was measured, as a table: medians, and the ratio of ours to the limit.

use std::fmt::Write as _;

/// The lines of the table so far.
#[derive(Default)]
pub(crate) struct Report {
    text: String,
    section: String,
    ratios: Vec<Ratio>,
}

/// A row that has a limit.
pub(crate) struct Ratio {
    pub(crate) section: String,
    pub(crate) work: String,
    pub(crate) ours: f64,
    pub(crate) limit: f64,
}

impl Report {
    /// Begins a table of its own.
    pub(crate) fn section(&mut self, title: &str) {
        let head = format!("\n## {title}\n\n| work | Nizhal | limit | ratio | target |\n|---|---:|---:|---:|---|");
        self.line(&head);
        title.split(':').next().unwrap_or(title).clone_into(&mut self.section);
    }

    /// A row of the table; the ratio is ours by theirs.
    pub(crate) fn row(&mut self, work: &str, ours: f64, limit: Option<f64>, target: &str) {
        if let Some(limit) = limit {
            self.ratios.push(Ratio { section: self.section.clone(), work: work.to_owned(), ours, limit });
        }
        let ratio = limit.map(|limit| format!("{:.2}", ours / limit)).unwrap_or_default();
        let limit = limit.map(shown).unwrap_or_default();
        self.line(&format!("| {work} | {} | {limit} | {ratio} | {target} |", shown(ours)));
    }

    /// A line of text.
    pub(crate) fn line(&mut self, line: &str) {
        println!("{line}");
        let _ = writeln!(self.text, "{line}");
    }

    /// The rows that have a limit, so far.
    pub(crate) fn ratios(&self) -> &[Ratio] {
        &self.ratios
    }

    /// All of it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

fn shown(value: f64) -> String {
    if value < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

/// The value that this part of them does not exceed.
pub(crate) fn percentile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
    let at = (count(sorted.len() - 1) * part).round() as usize;
    sorted[at]
}

/// The middle value.
pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
pub(crate) fn count(number: usize) -> f64 {
    number as f64
}

/// This process' resident memory in MB.
pub(crate) fn rss_mb() -> f64 {
    rss_mb_of("self")
}

/// The resident memory of this process, by its number, in MB.
pub(crate) fn rss_mb_of(process: &str) -> f64 {
    status_mb(process, "VmRSS:")
}

/// By how many MB this process' resident memory rose at most while this was done.
pub(crate) async fn risen_mb<T>(work: impl Future<Output = T>) -> (T, f64) {
    let before = rss_mb();
    // Forgets the peak so far.
    std::fs::write("/proc/self/clear_refs", "5").expect("Linux counts the peak anew");
    let done = work.await;
    (done, status_mb("self", "VmHWM:") - before)
}

fn status_mb(process: &str, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs, on Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux says so");
    let kb: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kb / 1024.0
}
