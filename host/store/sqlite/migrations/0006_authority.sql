-- Rows that give authority have links in the hash chain. This table contains the rows that older builds stored without a
-- link; the host adds their links when it opens the database.

create table unlinked (
    kind    text not null,
    subject text not null,
    primary key (kind, subject)
) strict, without rowid;

insert into unlinked select 'grant', id from granted;
insert into unlinked select 'freeze', environment from freeze;
insert into unlinked select 'release', run from release;
insert into unlinked select 'message', json_object('network', network, 'room', room, 'event', event) from inbox;
