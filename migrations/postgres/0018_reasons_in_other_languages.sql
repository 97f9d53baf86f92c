-- Why a row makes no item, why an item is in its state, and why an action on it was left undone is kept in English, and beside it as a
-- message: its id and what is put into it, by which it is said in the language of whoever reads it. What was kept before has none, and is
-- shown in English.

alter table items add column reason_message text;
alter table bulk_refusals add column message text;
