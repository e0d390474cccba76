"""The peer of `benchmarks/api.py`: FastAPI endpoints with one statement each, no keys, no checks, no problems."""

import os
import uuid
from typing import Any

from fastapi import FastAPI
from sqlalchemy import create_engine, text

INSERT = text("INSERT INTO bare (id, body) VALUES (:id, CAST(:body AS JSON))")
ONE = text("SELECT id, body FROM bare WHERE id = :id")
PAGE = text("SELECT id, body FROM bare ORDER BY id DESC LIMIT 20")

app = FastAPI()
engine = create_engine(os.environ["DDOQ_DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://"), pool_size=10)


@app.post("/jobs", status_code=202)
def add(body: dict[str, Any]) -> dict[str, Any]:
    row = {"id": uuid.uuid4().hex, "body": "{}"}
    with engine.begin() as connection:
        connection.execute(INSERT, row)
    return {"id": row["id"], "body": body}


@app.get("/jobs/{name}")
def look(name: str) -> dict[str, Any]:
    with engine.connect() as connection:
        return dict(connection.execute(ONE, {"id": name}).mappings().one())


@app.get("/jobs")
def page() -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(PAGE).mappings()]
