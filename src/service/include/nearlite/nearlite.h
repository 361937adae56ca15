#pragma once

/// Everything of nearlite: the core, the six databases and declared tables, retrieval and the
/// facades. Link to nearlite::service.
#include "nearlite/core.h"
#include "nearlite/databases/bot_db.h"
#include "nearlite/databases/config.h"
#include "nearlite/databases/enhancement_db.h"
#include "nearlite/databases/error_db.h"
#include "nearlite/databases/info_db.h"
#include "nearlite/databases/information_db.h"
#include "nearlite/databases/proposal.h"
#include "nearlite/databases/registry.h"
#include "nearlite/databases/store.h"
#include "nearlite/databases/table_store.h"
#include "nearlite/databases/workflow_db.h"
#include "nearlite/retrieval/search_stores.h"
#include "nearlite/retrieval/snippet.h"
#include "nearlite/service/embedding_backfill.h"
#include "nearlite/service/log_sink.h"
#include "nearlite/service/model_download.h"
#include "nearlite/service/model_verification.h"
#include "nearlite/service/retriever.h"
