# cmake -DLIBRARY=liblinnet.so -DOUTPUT=FOLDER -P: copies the library under its SONAME, by which others load it.
file(REAL_PATH ${LIBRARY} library)
execute_process(COMMAND readelf -d ${library} OUTPUT_VARIABLE dynamic COMMAND_ERROR_IS_FATAL ANY)
if(NOT dynamic MATCHES "SONAME[^[]*\\[([^]]+)\\]")
  message(FATAL_ERROR "${library} has no SONAME")
endif()
set(name ${CMAKE_MATCH_1})
file(COPY_FILE ${library} ${OUTPUT}/${name} ONLY_IF_DIFFERENT)
