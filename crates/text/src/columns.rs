//! The one way in which tables are laid out.

use crate::escape;

/// On which side a column's cells line up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Align {
    /// Words.
    #[default]
    Left,
    /// Numbers.
    Right,
}

/// The rows of a table as lines, two spaces between columns. A cell cannot end its line or drive a terminal. Columns for which
/// `align` says nothing line up at the left.
#[must_use]
pub fn columns<R, C>(rows: &[R], align: &[Align]) -> Vec<String>
where
    R: AsRef<[C]>,
    C: AsRef<str>,
{
    let rows: Vec<Vec<_>> = rows
        .iter()
        .map(|row| {
            row.as_ref()
                .iter()
                .map(|cell| escape::line(cell.as_ref()))
                .collect()
        })
        .collect();
    let most = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..most)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    rows.iter()
        .map(|row| {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
                match align.get(column) {
                    Some(Align::Right) => line.extend([&pad, &**cell]),
                    _ => line.extend([&**cell, &pad]),
                }
                line.push_str("  ");
            }
            line.truncate(line.trim_end_matches(' ').len());
            line
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_no_cell_forges_a_row() {
        let rows = [
            vec!["NAME", "DAYS", "SERIAL"],
            vec!["ada\nroot  9  00", "7", "0a"],
            vec!["é\x1b[2J", "365"],
        ];
        let lines = columns(&rows, &[Align::Left, Align::Right]);
        assert_eq!(
            lines,
            [
                "NAME              DAYS  SERIAL",
                "ada\\nroot  9  00     7  0a",
                "é\\u001b[2J         365",
            ]
        );
        assert!(columns::<Vec<&str>, &str>(&[], &[]).is_empty());
    }
}
