/// The rows of the Markdown table whose first column is called `first`; their cells, without backquotes around them.
pub(crate) fn rows<'t>(text: &'t str, first: &str) -> Vec<Vec<&'t str>> {
    let header = format!("| {first} |");
    let table = text.lines().skip_while(|line| !line.starts_with(&header)).skip(2);
    let rows = table.take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect())
        .collect()
}
