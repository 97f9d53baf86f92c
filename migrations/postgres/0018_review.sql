-- Whoever approves a batch is shown which of its rows say the same of the same payment or contract as an earlier one.
create index items_identity on items (identity) where identity is not null;
