//! A table as CSV: everything in it can be seen, and a spreadsheet makes no formula of it.

use std::io::Write;

use super::ExportError;
use super::table::{TableCell, TableEnd, TableHead};
use crate::domain::text::inert;

/// By which Excel knows UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub(crate) struct CsvTable<W: Write> {
    out: csv::Writer<W>,
    head: TableHead,
    rows: u64,
}

impl<W: Write> CsvTable<W> {
    /// Begins with the headings.
    pub fn begin(mut out: W, head: TableHead, bom: bool) -> Result<Self, ExportError> {
        if bom {
            out.write_all(BYTE_ORDER_MARK)?;
        }
        let mut table = Self {
            out: csv::Writer::from_writer(out),
            head,
            rows: 0,
        };
        let headings: Vec<String> = table.head.headings().collect();
        table.record(headings)?;
        Ok(table)
    }

    pub fn row(&mut self, cells: &[TableCell]) -> Result<(), ExportError> {
        let zone = self.head.zone;
        self.record(cells.iter().map(|cell| cell.plain(zone)))?;
        self.rows += 1;
        Ok(())
    }

    pub fn finish(self) -> Result<(W, TableEnd), ExportError> {
        let rows = self.rows;
        let out = self.out.into_inner();
        let out = out.map_err(csv::IntoInnerError::into_error)?;
        Ok((out, TableEnd { rows, sheets: 1 }))
    }

    fn record(&mut self, fields: impl IntoIterator<Item = String>) -> Result<(), ExportError> {
        let written = |error: csv::Error| ExportError::Write(error.into());
        for field in fields {
            self.out
                .write_field(inert(&field).as_bytes())
                .map_err(written)?;
        }
        self.out.write_record(None::<&[u8]>).map_err(written)
    }
}
