-- What `payrun backup` has made of this ledger, so that whoever looks at the day sees when the last one was. A copy does not have its own.

create table backups (
  at           integer not null,           -- what the copy shows is of this instant
  file         text    not null,           -- its name, without its folder
  bytes        integer not null,
  primary key (at, file)
);
