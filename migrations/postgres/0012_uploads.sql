-- A run may wait before anything of it is sent, so that whoever has begun it can withdraw it. The instant never changes once the run is
-- planned: whoever has read it need not read it again before a claim.

alter table runs add column send_at bigint;           -- nothing of it is sent before; none: at once

-- Which headings of a file a person has said are which columns of a job: the next file with the same header is read the same way.
create table column_mappings (
  workflow     text collate "C" not null,
  job          text collate "C" not null,
  header       bytea   not null,           -- fingerprint of the headings
  columns      text    not null,           -- JSON object: the heading of each column
  person       text    not null,           -- who has said so last
  at           bigint  not null,
  primary key (workflow, job, header)
);
