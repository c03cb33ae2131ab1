# LHOTSE_SANITIZE: "" | address | thread | fuzzer
set(LHOTSE_SANITIZE "" CACHE STRING "address (with undefined), thread, fuzzer (with address), or nothing")

if(LHOTSE_SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(LHOTSE_SANITIZE STREQUAL "thread")
  # LuaJIT raises by unwinding: what is unwound must tell the sanitizer that it has returned.
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer -fexceptions)
  add_link_options(-fsanitize=thread)
elseif(LHOTSE_SANITIZE STREQUAL "fuzzer")
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(NOT LHOTSE_SANITIZE STREQUAL "")
  message(FATAL_ERROR "LHOTSE_SANITIZE: unknown value ${LHOTSE_SANITIZE}")
endif()
