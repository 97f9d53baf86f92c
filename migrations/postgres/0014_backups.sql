-- What `payrun backup` has made of this ledger when it lay in a file. A server is backed up by its own tools, which payrun does not hear of.

create table backups (
  at           bigint  not null,           -- what the copy shows is of this instant
  file         text    not null,           -- its name, without its folder
  bytes        bigint  not null
);
create index backups_by_time on backups (at);
