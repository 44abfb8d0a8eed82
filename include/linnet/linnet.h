/* Linnet's C interface: load an ONNX model, run it.
 *
 * Ownership: every *_create, *_load and linnet_value_* constructor gives an object that its *_release frees; releasing
 * NULL does nothing. A session keeps its engine and its model alive, a model's values keep what they need alive, so
 * objects may be released in any order. Strings that a function returns live as long as the object they came from.
 *
 * Errors: functions that can fail return NULL on success, else a status that linnet_status_release frees. Output
 * parameters are only written on success.
 *
 * Threads: engines, models and sessions may be used from any number of threads at once. Options, bindings and values
 * are for one thread at a time, except that values may be read from several.
 *
 * Text is UTF-8, paths too. ABI: structs that may grow begin with struct_size, which the caller sets to sizeof; fields
 * that a caller does not know are treated as zero. Functions and enumerators are only ever added.
 */
#ifndef LINNET_LINNET_H_
#define LINNET_LINNET_H_

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define LINNET_API __declspec(dllexport)
#else
#define LINNET_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct linnet_status linnet_status;
typedef struct linnet_engine linnet_engine;
typedef struct linnet_load_options linnet_load_options;
typedef struct linnet_model linnet_model;
typedef struct linnet_session linnet_session;
typedef struct linnet_value linnet_value;
typedef struct linnet_cancel linnet_cancel;
typedef struct linnet_profile linnet_profile;
typedef struct linnet_binding linnet_binding;

/* --- status */

typedef enum linnet_code {
  LINNET_OK = 0,
  LINNET_INVALID_ARGUMENT = 1, /* the caller's inputs, names, shapes or options */
  LINNET_INVALID_MODEL = 2,    /* the model contradicts the ONNX standard or itself */
  LINNET_UNSUPPORTED = 3,      /* valid, but this build cannot run it */
  LINNET_NOT_FOUND = 4,        /* a file, name or input that is not there */
  LINNET_IO = 5,               /* reading or writing failed */
  LINNET_OUT_OF_MEMORY = 6,    /* the system or the engine's limit refused */
  LINNET_CANCELLED = 7,
  LINNET_DEADLINE_EXCEEDED = 8,
  LINNET_INTERNAL = 9 /* a defect of Linnet */
} linnet_code;

LINNET_API linnet_code linnet_status_code(const linnet_status* status); /* LINNET_OK for NULL */
LINNET_API const char* linnet_status_message(const linnet_status* status);
LINNET_API void linnet_status_release(linnet_status* status);
/* The message of the last call on this thread that failed; "" when none has. Lives until the next failure on this
 * thread. */
LINNET_API const char* linnet_last_error(void);

LINNET_API const char* linnet_version(void); /* "0.1.0" */

/* --- engine: the threads and the memory limit that sessions share */

typedef struct linnet_engine_options {
  size_t struct_size;
  size_t threads;      /* including the calling one; 0: one for each core that the process may use */
  size_t memory_limit; /* bytes for arenas and values of runs; 0: none */
  /* A host's own threads, or NULL: calls part(context, i) for each i in [0, parts), possibly at once, and returns when
   * all have returned. Must be callable from several threads. `threads` then tells how many run at once. */
  void (*executor)(void* user, size_t parts, void (*part)(void* context, size_t i), void* context);
  void* executor_user;
} linnet_engine_options;

/* NULL options: the defaults. */
LINNET_API linnet_status* linnet_engine_create(const linnet_engine_options* options, linnet_engine** engine);
LINNET_API void linnet_engine_release(linnet_engine* engine);
/* At any time; runs under way take the new count from their next step on. 0: one for each core. No effect with an
 * executor. */
LINNET_API void linnet_engine_set_threads(linnet_engine* engine, size_t threads);
LINNET_API size_t linnet_engine_threads(const linnet_engine* engine);
LINNET_API void linnet_engine_set_memory_limit(linnet_engine* engine, size_t bytes); /* 0: none */
LINNET_API size_t linnet_engine_memory_used(const linnet_engine* engine);

/* --- values: tensors, sequences of values, maps, and nothing (an optional without content) */

typedef enum linnet_dtype { /* the numbers of onnx.TensorProto.DataType */
                            LINNET_UNDEFINED = 0,
                            LINNET_FLOAT = 1,
                            LINNET_UINT8 = 2,
                            LINNET_INT8 = 3,
                            LINNET_UINT16 = 4,
                            LINNET_INT16 = 5,
                            LINNET_INT32 = 6,
                            LINNET_INT64 = 7,
                            LINNET_STRING = 8,
                            LINNET_BOOL = 9,
                            LINNET_FLOAT16 = 10,
                            LINNET_DOUBLE = 11,
                            LINNET_UINT32 = 12,
                            LINNET_UINT64 = 13,
                            LINNET_COMPLEX64 = 14,
                            LINNET_COMPLEX128 = 15,
                            LINNET_BFLOAT16 = 16,
                            LINNET_FLOAT8E4M3FN = 17,
                            LINNET_FLOAT8E4M3FNUZ = 18,
                            LINNET_FLOAT8E5M2 = 19,
                            LINNET_FLOAT8E5M2FNUZ = 20,
                            LINNET_UINT4 = 21,
                            LINNET_INT4 = 22,
                            LINNET_FLOAT4E2M1 = 23,
                            LINNET_FLOAT8E8M0 = 24,
                            LINNET_UINT2 = 25,
                            LINNET_INT2 = 26
} linnet_dtype;

typedef enum linnet_kind { LINNET_NONE = 0, LINNET_TENSOR = 1, LINNET_SEQUENCE = 2, LINNET_MAP = 3 } linnet_kind;

/* A tensor with memory of its own, zeroed; strings are empty. */
LINNET_API linnet_status* linnet_value_create_tensor(linnet_dtype dtype, const int64_t* shape, size_t rank,
                                                     linnet_value** value);
/* A tensor over the caller's memory of `size` bytes, which must be at least what dtype and shape ask for, aligned for
 * the element, and outlive the value and all that views it. Row-major; 2- and 4-bit elements are packed, low bits
 * first. */
LINNET_API linnet_status* linnet_value_borrow_tensor(linnet_dtype dtype, const int64_t* shape, size_t rank, void* data,
                                                     size_t size, linnet_value** value);
/* A string tensor; the texts are copied. */
LINNET_API linnet_status* linnet_value_create_strings(const char* const* texts, const int64_t* shape, size_t rank,
                                                      linnet_value** value);
/* A sequence that shares the elements' content. Elements must be tensors. */
LINNET_API linnet_status* linnet_value_create_sequence(linnet_dtype dtype, const linnet_value* const* elements,
                                                       size_t count, linnet_value** value);
LINNET_API linnet_status* linnet_value_create_none(linnet_value** value);
LINNET_API void linnet_value_release(linnet_value* value);

LINNET_API linnet_kind linnet_value_kind(const linnet_value* value);
/* Of a tensor; of a sequence, its elements' type. */
LINNET_API linnet_dtype linnet_value_dtype(const linnet_value* value);
LINNET_API size_t linnet_value_rank(const linnet_value* value);
LINNET_API const int64_t* linnet_value_shape(const linnet_value* value);
LINNET_API int64_t linnet_value_element_count(const linnet_value* value);
/* The elements of a tensor of numbers; NULL for anything else. */
LINNET_API void* linnet_value_data(const linnet_value* value);
LINNET_API size_t linnet_value_size(const linnet_value* value); /* bytes */
/* Element i of a string tensor and its length in bytes; NULL when there is none. */
LINNET_API const char* linnet_value_string(const linnet_value* value, size_t i, size_t* length);
/* Elements of a sequence; of a map, its keys (0) and values (1), each a tensor. The result is a value of its own. */
LINNET_API size_t linnet_value_length(const linnet_value* value);
LINNET_API linnet_status* linnet_value_at(const linnet_value* value, size_t i, linnet_value** element);

/* --- loading */

typedef enum linnet_level {
  LINNET_LEVEL_NONE = 0,
  LINNET_LEVEL_BASIC = 1,
  LINNET_LEVEL_EXTENDED = 2,
  LINNET_LEVEL_ALL = 3
} linnet_level;
typedef enum linnet_severity {
  LINNET_VERBOSE = 0,
  LINNET_INFO = 1,
  LINNET_WARNING = 2,
  LINNET_ERROR = 3
} linnet_severity;

LINNET_API linnet_load_options* linnet_load_options_create(void); /* NULL when memory is short */
LINNET_API void linnet_load_options_release(linnet_load_options* options);
LINNET_API void linnet_load_options_set_level(linnet_load_options* options, linnet_level level); /* default: all */
LINNET_API void linnet_load_options_disable_pass(linnet_load_options* options, const char* pass);
/* A symbolic size of the inputs becomes a number. */
LINNET_API void linnet_load_options_fix_size(linnet_load_options* options, const char* name, int64_t size);
/* Type and shape must be those of the model's initializer. */
LINNET_API void linnet_load_options_replace_initializer(linnet_load_options* options, const char* name,
                                                        const linnet_value* tensor);
/* The content of an external data file, by the location that the model names. Must outlive the model. */
LINNET_API void linnet_load_options_supply_external_data(linnet_load_options* options, const char* location,
                                                         const void* data, size_t size);
/* Makes an inner value of the main graph an output, after the model's own. */
LINNET_API void linnet_load_options_add_output(linnet_load_options* options, const char* value);
/* Reads files into memory instead of mapping them: for files that others may write meanwhile. */
LINNET_API void linnet_load_options_set_copy_files(linnet_load_options* options, int copy);
LINNET_API void linnet_load_options_set_seed(linnet_load_options* options, uint64_t seed); /* of random operators */
/* Called on the loading thread. */
LINNET_API void linnet_load_options_set_log(linnet_load_options* options,
                                            void (*log)(void* user, linnet_severity severity, const char* text),
                                            void* user);

/* NULL options: the defaults. */
LINNET_API linnet_status* linnet_model_load(linnet_engine* engine, const char* path, const linnet_load_options* options,
                                            linnet_model** model);
/* `borrow` not 0: the bytes must outlive the model; else they are copied. External data must be supplied. */
LINNET_API linnet_status* linnet_model_load_bytes(linnet_engine* engine, const void* data, size_t size, int borrow,
                                                  const linnet_load_options* options, linnet_model** model);
LINNET_API void linnet_model_release(linnet_model* model);

/* --- what a model is */

typedef struct linnet_port {
  size_t struct_size;
  const char* name;
  linnet_kind kind;
  linnet_dtype dtype;
  int ranked; /* 0: the rank is not known */
  size_t rank;
  const int64_t* shape;          /* -1: open */
  const char* const* size_names; /* of symbolic sizes; "" where there is none */
} linnet_port;

LINNET_API size_t linnet_model_input_count(const linnet_model* model);
LINNET_API size_t linnet_model_output_count(const linnet_model* model);
LINNET_API linnet_status* linnet_model_input(const linnet_model* model, size_t i, linnet_port* port);
LINNET_API linnet_status* linnet_model_output(const linnet_model* model, size_t i, linnet_port* port);
/* Keys: "producer_name", "producer_version", "domain", "description", "graph_name", "ir_version", "model_version",
 * "opset:<domain>", and the model's own metadata_props. NULL when there is none. */
LINNET_API const char* linnet_model_metadata(const linnet_model* model, const char* key);
LINNET_API size_t linnet_model_metadata_count(const linnet_model* model);
LINNET_API const char* linnet_model_metadata_key(const linnet_model* model, size_t i); /* NULL past the end */

/* --- running */

typedef struct linnet_run_options {
  size_t struct_size;
  linnet_cancel* cancel;   /* or NULL */
  int64_t timeout_ms;      /* 0: none */
  linnet_profile* profile; /* or NULL; receives the run's events */
} linnet_run_options;

LINNET_API linnet_cancel* linnet_cancel_create(void);
LINNET_API void linnet_cancel_request(
    linnet_cancel* cancel); /* from any thread; for all runs that have it, and for good */
LINNET_API void linnet_cancel_release(linnet_cancel* cancel); /* not while a run has it */
LINNET_API linnet_profile* linnet_profile_create(void);
LINNET_API const char* linnet_profile_trace(linnet_profile* profile); /* Chrome's trace-event JSON of all runs so far */
LINNET_API void linnet_profile_release(linnet_profile* profile);

LINNET_API linnet_status* linnet_session_create(linnet_engine* engine, linnet_model* model, linnet_session** session);
LINNET_API void linnet_session_release(linnet_session* session);
/* Inputs and outputs by the model's order. An output that is NULL is made; one that holds a tensor of the right type
 * and shape is written in place; any other gets new content. */
LINNET_API linnet_status* linnet_session_run(linnet_session* session, const linnet_run_options* options,
                                             const linnet_value* const* inputs, size_t input_count,
                                             linnet_value** outputs, size_t output_count);
/* The same by name, in any order. Only the outputs that are named are computed. A name may be that of any inner value
 * of the model's main graph: the session then loads the model a second time with that value as output, and keeps it. */
LINNET_API linnet_status* linnet_session_run_named(linnet_session* session, const linnet_run_options* options,
                                                   const char* const* input_names, const linnet_value* const* inputs,
                                                   size_t input_count, const char* const* output_names,
                                                   linnet_value** outputs, size_t output_count);
/* Gives memory that no run uses back to the system. */
LINNET_API void linnet_session_trim(linnet_session* session);

/* Inputs and outputs that stay bound from run to run: a second run of the same shapes neither allocates nor copies. */
LINNET_API linnet_status* linnet_binding_create(linnet_session* session, linnet_binding** binding);
LINNET_API void linnet_binding_release(linnet_binding* binding);
/* Shares the value's content; writes to its memory are seen by the next run. */
LINNET_API linnet_status* linnet_binding_set_input(linnet_binding* binding, const char* name,
                                                   const linnet_value* value);
/* Outputs are written to the value's memory where type and shape agree. Without a bound value, memory is made once and
 * kept. */
LINNET_API linnet_status* linnet_binding_set_output(linnet_binding* binding, const char* name,
                                                    const linnet_value* value);
LINNET_API linnet_status* linnet_binding_run(linnet_binding* binding, const linnet_run_options* options);
/* The output of the last run, as a value of its own that shares the memory. */
LINNET_API linnet_status* linnet_binding_output(const linnet_binding* binding, const char* name, linnet_value** value);

#ifdef __cplusplus
}
#endif

#endif /* LINNET_LINNET_H_ */
