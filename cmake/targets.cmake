# What programs link to: nearlite::core (everything up to the mixin) and nearlite::service (databases, retrieval, service, server);
# both bring their headers and everything below. The layers themselves are exported as nearlite::layer_NAME.
function(nearlite_aggregate name)  # nearlite_aggregate(<name> <layers> ...)
  list(TRANSFORM ARGN PREPEND nearlite_ OUTPUT_VARIABLE layers)
  add_library(nearlite_aggregate_${name} INTERFACE)
  target_link_libraries(nearlite_aggregate_${name} INTERFACE ${layers})
  set_target_properties(nearlite_aggregate_${name} PROPERTIES EXPORT_NAME ${name})
  add_library(nearlite::${name} ALIAS nearlite_aggregate_${name})
  set_property(GLOBAL APPEND PROPERTY nearlite_aggregates nearlite_aggregate_${name})
endfunction()

nearlite_aggregate(core base text model index store governance encoder embeddable)
if(NEARLITE_SERVICE)
  nearlite_aggregate(service base text model index store governance encoder embeddable databases retrieval service server)
endif()
