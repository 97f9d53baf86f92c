-- A ledger that was moved to another database is never written again. The triggers that see to it are made when it is moved
-- (src/ledger/promote.rs), so that they hold for every process that has it open.
create table fence (
  id           integer primary key check (id = 1),
  moved_to     text    not null,           -- without user and password
  at           integer not null
);
