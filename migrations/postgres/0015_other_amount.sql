-- What a later look-up said was paid, where that differs from what was said first: a person has to find out which is so.
alter table payments add column other_amount bigint;
alter table payments add column other_currency text;
