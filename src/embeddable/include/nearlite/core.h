#pragma once

/// What a program needs that gives its own SQLite database semantic search: EmbeddableDBMixin and
/// what it takes. Link to nearlite::core.
#include "nearlite/base/clock.h"
#include "nearlite/base/error.h"
#include "nearlite/embeddable/embeddable_db_mixin.h"
#include "nearlite/embeddable/freshness.h"
#include "nearlite/embeddable/record.h"
#include "nearlite/encoder/text_encoder.h"
#include "nearlite/governance/gate.h"
#include "nearlite/index/vector_index.h"
