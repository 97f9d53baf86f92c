-- What is done of a whole, and what of its parts: a payment is declared to a customs whole or by its sub-orders, never both.

alter table items add column part_of bytea;     -- fingerprint of what the item is for the whole, or for a part, of: a payment at a customs
alter table items add column part text collate "C"; -- which part, in small letters; empty: the whole
alter table items add column part_written text collate "C"; -- the same as its row wrote it
create index items_part_of on items (part_of, part) where part_of is not null;
