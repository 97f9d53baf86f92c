-- Whether a refund stands in a statement is asked by its own number, or by the gateway's where the file has no other: one
-- payment may have many refunds, so the payment's order number does not lead to them.
create index statement_lines_by_refund on statement_lines (refund_no) where refund_no <> '';
create index statement_lines_by_refund_id on statement_lines (refund_id) where refund_id <> '';
