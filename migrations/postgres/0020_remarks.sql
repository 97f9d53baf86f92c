-- What the totals of a statement say otherwise than its lines: the file is signed and stays, and the reconciliation tells of it.
alter table statements add column remarks text; -- a JSON list of sentences; none if all agree
