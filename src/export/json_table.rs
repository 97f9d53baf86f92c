//! A table as JSON: an object a row, its names in the order of the columns. Every row has every
//! column; what is not there is null.

use std::io::Write;

use super::ExportError;
use super::table::{TableCell, TableEnd, TableHead};
use crate::domain::text::escaped;

/// What stands around the objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JsonLayout {
    /// One array.
    Array,
    /// Nothing: an object a line.
    Lines,
}

pub(crate) struct JsonTable<W> {
    out: W,
    head: TableHead,
    layout: JsonLayout,
    rows: u64,
}

impl<W: Write> JsonTable<W> {
    pub fn begin(out: W, head: TableHead, layout: JsonLayout) -> Self {
        Self {
            out,
            head,
            layout,
            rows: 0,
        }
    }

    pub fn row(&mut self, cells: &[TableCell]) -> Result<(), ExportError> {
        let before = match self.layout {
            JsonLayout::Lines => "",
            JsonLayout::Array if self.rows == 0 => "[\n",
            JsonLayout::Array => ",\n",
        };
        let mut line = String::from("{");
        for (place, (column, cell)) in self.head.columns.iter().zip(cells).enumerate() {
            if place > 0 {
                line.push(',');
            }
            let name = serde_json::Value::from(column.name.as_str());
            line.push_str(&format!("{name}:{}", cell.json(self.head.zone)));
        }
        line.push('}');
        write!(self.out, "{before}{}", escaped(&line))?;
        if self.layout == JsonLayout::Lines {
            self.out.write_all(b"\n")?;
        }
        self.rows += 1;
        Ok(())
    }

    pub fn finish(mut self) -> Result<(W, TableEnd), ExportError> {
        match self.layout {
            JsonLayout::Lines => {}
            JsonLayout::Array if self.rows == 0 => self.out.write_all(b"[]\n")?,
            JsonLayout::Array => self.out.write_all(b"\n]\n")?,
        }
        self.out.flush()?;
        let rows = self.rows;
        Ok((self.out, TableEnd { rows, sheets: 1 }))
    }
}
