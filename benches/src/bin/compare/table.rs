//! Tables in Markdown, and results as people read them.

/// What stands where there is no result.
const NONE: &str = "-";

/// A table that grows by rows.
pub(crate) struct Table(String);

impl Table {
    pub(crate) fn new<S: AsRef<str>>(head: impl IntoIterator<Item = S>) -> Self {
        let mut table = Self(String::new());
        let columns = table.line(head);
        table.line(vec!["---"; columns]);
        table
    }

    pub(crate) fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.line(cells);
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }

    fn line<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) -> usize {
        let mut columns = 0;
        self.0.push('|');
        for cell in cells {
            self.0.push(' ');
            self.0 += cell.as_ref();
            self.0 += " |";
            columns += 1;
        }
        self.0.push('\n');
        columns
    }
}

/// A result, if there is one.
pub(crate) fn cell(value: Option<f64>, format: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| NONE.to_owned(), format)
}

/// 0.53 x
pub(crate) fn times(ratio: f64) -> String {
    format!("{ratio:.2} x")
}

/// 4 k, 1.8 k, 181 k, 2.19 M
pub(crate) fn thousands(count: f64) -> String {
    if count < 1e3 {
        format!("{count:.0}")
    } else if count < 1e4 {
        format!("{:.1} k", count / 1e3).replace(".0 k", " k")
    } else if count < 1e6 {
        format!("{:.0} k", count / 1e3)
    } else {
        format!("{:.2} M", count / 1e6)
    }
}

/// Three digits that count: 0.0213, 1.24, 23.6, 633, and 0 if it is that.
pub(crate) fn three_digits(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let before_point = value.abs().max(1e-9).log10().floor() as i32;
    format!("{value:.*}", (2 - before_point).clamp(0, 4) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_short() {
        let texts = [12.0, 4_000.0, 1_834.0, 181_234.0, 2_190_000.0].map(thousands);
        assert_eq!(texts, ["12", "4 k", "1.8 k", "181 k", "2.19 M"]);
    }

    #[test]
    fn three_digits_count() {
        assert_eq!(
            [0.0, 0.02134, 1.239, 23.61, 632.9, 14_632.0].map(three_digits),
            ["0", "0.0213", "1.24", "23.6", "633", "14632"]
        );
    }

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new(["what", "cost"]);
        table.row([String::from("ack"), cell(None, times)]);
        assert_eq!(table.into_text(), "| what | cost |\n| --- | --- |\n| ack | - |\n");
    }
}
