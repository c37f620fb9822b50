-- Rights that were granted in chat, freezes, and reactions among the messages.

alter table inbox add column direct integer not null default 0;
alter table inbox add column reaction text; -- JSON

alter table job add column overrides text; -- why it goes without approval
create index job_overrides on job (seq) where overrides is not null;

create index outbox_event on outbox (network, event) where event is not null;

-- What was granted in chat. A grant that is taken back goes; the journal has both.
create table granted (
    seq         integer primary key,
    id          text not null unique,
    person_id   text not null,
    person_name text not null,
    role        text not null,
    app         text not null,
    environment text,
    by_id       text not null,
    by_name     text not null,
    bot         text not null,
    at          text not null,
    until       text
) strict;

create table freeze (
    environment text primary key,
    until       text,
    reason      text not null,
    by_id       text not null,
    by_name     text not null,
    at          text not null
) strict, without rowid;
