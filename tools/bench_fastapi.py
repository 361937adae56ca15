"""What one writes in an afternoon: embeddings over HTTP by FastAPI and sentence-transformers. The peer of tools/load_service.py."""

import base64
import os
import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer

cache = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
model = SentenceTransformer(os.environ.get("NEARLITE_TEST_MODEL", cache + "/nearlite/models/sentence-transformers/all-MiniLM-L6-v2"))
app = FastAPI()


class Wanted(BaseModel):
    model: str
    input: list[str]
    encoding_format: str = "float"


@app.get("/healthz")
def healthz():
    return {"status": "ok"}


@app.post("/v1/embeddings")
def embeddings(wanted: Wanted):
    vectors = model.encode(wanted.input, batch_size=64)
    shown = [base64.b64encode(v.tobytes()).decode() if wanted.encoding_format == "base64" else v.tolist() for v in vectors]
    return {"object": "list", "model": wanted.model, "data": [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(shown)]}


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
