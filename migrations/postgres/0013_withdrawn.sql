-- A person's wish that nothing more is sent of an item: who said so and why, and when. It stays until a person has it tried again.
alter table items add column withdrawn text;
alter table items add column withdrawn_at bigint;
