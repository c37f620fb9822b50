-- What comes once by a name of its own, whatever its key: deliveries and encrypted texts.

create table came (
    name text not null primary key,
    at   text not null
) strict, without rowid;
create index came_at on came (at);
