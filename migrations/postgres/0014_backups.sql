-- What `payrun backup` has made of this ledger when it lay in a file. A server is backed up by its own tools, which payrun does not hear of.

create table backups (
  at           bigint  not null,           -- what the copy shows is of this instant
  file         text collate "C" not null,           -- its name, without its folder
  bytes        bigint  not null,
  primary key (at, file)
);
