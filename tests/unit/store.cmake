mf_test(test_store_engine SOURCES test_store_engine.c USES mf_store LABELS unit)
mf_test(test_store_writer SOURCES test_store_writer.c USES mf_broker_edge LABELS unit)
mf_test(test_store_recent SOURCES test_store_recent.c USES mf_broker_edge LABELS unit)
mf_test(test_edge_peers SOURCES test_edge_peers.c USES mf_broker_edge LABELS unit)
