//! Drivers that are not libpq's own psql take what the child finds in its environment.

use crate::support::*;
use std::path::{Path, PathBuf};

/// Connects as the argument says, and prints who it is.
const CONNECT: &str = r#"
import asyncio, os, sys
import asyncpg, psycopg, sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

url = os.environ["DATABASE_URL"]
query = "select current_user || ' ' || current_database()"

def psycopg_with(text):
    with psycopg.connect(text) as connection:
        return connection.execute(query).fetchone()[0]

async def asyncpg_with(**arguments):
    connection = await asyncpg.connect(**arguments)
    return await connection.fetchval(query)

def engine():
    with sqlalchemy.create_engine(url).connect() as connection:
        return connection.execute(sqlalchemy.text(query)).scalar()

async def async_engine():
    async with create_async_engine(url).connect() as connection:
        return (await connection.execute(sqlalchemy.text(query))).scalar()

ways = {
    "psycopg-url": lambda: psycopg_with(url),
    "psycopg-variables": lambda: psycopg_with(""),
    "asyncpg-url": lambda: asyncio.run(asyncpg_with(dsn=url)),
    "asyncpg-variables": lambda: asyncio.run(asyncpg_with()),
    "engine": engine,
    "async-engine": lambda: asyncio.run(async_engine()),
}
print(ways[sys.argv[1]]())
"#;

/// The same of Node's.
const CONNECT_BY_NODE: &str = r#"
const { Client } = require("pg");
const client = new Client(process.argv[1] === "url" ? { connectionString: process.env.DATABASE_URL } : {});
client.connect()
    .then(() => client.query("select current_user || ' ' || current_database() as who"))
    .then((answer) => { console.log(answer.rows[0].who); return client.end(); })
    .catch((error) => { console.error(error.message); process.exit(1); });
"#;

fn tenant() -> Tenant {
    Tenant::with(Servers::shared(), |spec| {
        spec.password_policy(NASTY_PASSWORD_POLICY)
    })
}

/// Where `make tools` has put the drivers of a language.
#[track_caller]
fn drivers(language: &str) -> PathBuf {
    let drivers = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools");
    let drivers = drivers.join(language);
    assert!(
        drivers.join("installed.txt").is_file(),
        "the drivers of {language} are missing: `make tools` fetches them"
    );
    drivers
}

#[track_caller]
fn assert_tells_who(run: Run, way: &str) {
    let run = run.output();
    run.assert_code(0).assert_quiet_stderr();
    let out = run.out();
    assert!(
        out.starts_with("v-approle-") && out.ends_with(" appdb\n"),
        "{way}: {run}"
    );
}

#[track_caller]
fn assert_connects(run: Run, way: &str) {
    let run = run
        .env("PYTHONPATH", drivers("python"))
        .child(["python3", "-c", CONNECT, way]);
    assert_tells_who(run, way);
}

#[test]
fn psycopg_and_asyncpg_take_either_form() {
    let tenant = tenant();
    for way in [
        "psycopg-url",
        "psycopg-variables",
        "asyncpg-url",
        "asyncpg-variables",
    ] {
        assert_connects(tenant.command().env("PGSSLMODE", "prefer"), way);
    }
    tenant.assert_nothing_left();
}

#[test]
fn node_postgres_takes_either_form() {
    let tenant = tenant();
    for way in ["url", "variables"] {
        let run = tenant
            .command()
            .env("NODE_PATH", drivers("node").join("usr/share/nodejs"))
            .child(["node", "-e", CONNECT_BY_NODE, way]);
        assert_tells_who(run, way);
    }
    tenant.assert_nothing_left();
}

#[test]
fn sqlalchemy_takes_the_url_with_any_of_its_drivers() {
    let tenant = tenant();
    for (driver, way) in [
        ("psycopg", "engine"),
        ("pg8000", "engine"),
        ("psycopg", "async-engine"),
        ("asyncpg", "async-engine"),
    ] {
        let run = tenant
            .command()
            .env("PGSSLMODE", "prefer")
            .env("PGOPTIONS", "-c statement_timeout=60s")
            .env("DATABASE_URL", format!("postgresql+{driver}://"));
        assert_connects(run, way);
    }
    tenant.assert_nothing_left();
}

#[test]
fn sqlalchemy_takes_several_hosts() {
    let tenant = tenant();
    let port = Servers::shared().postgres.port().to_string();
    for (driver, way) in [("psycopg", "engine"), ("asyncpg", "async-engine")] {
        let run = tenant
            .command()
            .env("PGHOST", "127.0.0.1,localhost")
            .env("PGPORT", &port)
            .env("DATABASE_URL", format!("postgresql+{driver}:///appdb"));
        assert_connects(run, way);
    }
    tenant.assert_nothing_left();
}
