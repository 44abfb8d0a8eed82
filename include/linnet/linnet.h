/* Linnet's C interface: load an ONNX model, run it. docs/c-api.md has the rules at length and a complete example.
 *
 *   linnet_model* model = NULL;
 *   linnet_status* failed = linnet_model_load(engine, "model.onnx", NULL, &model);
 *   if (failed) { puts(linnet_status_message(failed)); linnet_release(failed); }
 *
 * Handles. Every object is reached through an opaque handle, which is not an address. linnet_release() closes a handle
 * of any kind, from any thread, also as a finaliser. Objects keep what they are made of (a session its model, a model
 * its engine), so handles may be closed in any order, and at any time: what is under way finishes. A handle that is
 * NULL, closed or was never one is told from the rest: functions that give a status fail with LINNET_CLOSED, others
 * give 0, NULL or "", and closing it does nothing. What a function gives through an output parameter is a new handle,
 * to be released once. Parameters are never released by the function that they are passed to.
 *
 * Errors. A function that can fail returns NULL on success, else a status to be released. Output parameters are written
 * on success only.
 *
 * Memory. Pointers that a function gives (strings, shapes, data) live as long as the object that they were asked of has
 * an open handle. Memory that is lent to Linnet comes with `release` (or NULL) and `user`: release(user) is called
 * exactly once, from any thread, when Linnet will not touch the memory again. When the function that takes the memory
 * fails, release is not called.
 *
 * Threads. Every function may be called from any thread at any time, with two exceptions: load options are for one
 * thread at a time; and the memory of tensors is not guarded, so that nobody may write a tensor's data while a run
 * reads or writes it.
 *
 * Callbacks may be called from any thread that the function that takes them names. They may call any function of
 * Linnet. An exception that leaves a callback is caught and becomes an error of the call that caused it,
 * LINNET_CALLBACK_FAILED, where there is one.
 *
 * Text is UTF-8 and ends with NUL unless a length says where. So are paths, on every system; one that is not is
 * refused.
 *
 * ABI. A struct that crosses the boundary begins with struct_size, to be set to its sizeof. Fields are only ever added
 * at the end; a library that meets a longer struct than it knows refuses it unless the unknown rest is zero, and treats
 * fields that a shorter one lacks as zero. Functions and enumerators are only ever added, numbers never change meaning.
 * When that promise has to be broken, LINNET_ABI_VERSION and the library's SONAME count up.
 */
#ifndef LINNET_LINNET_H_
#define LINNET_LINNET_H_

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32) && defined(LINNET_BUILDING)
#define LINNET_API __declspec(dllexport)
#elif defined(_WIN32)
#define LINNET_API __declspec(dllimport)
#else
#define LINNET_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Enumerations have 32 bits, and any number may be passed where one is asked for: unknown ones are refused. */
#ifdef __cplusplus
#define LINNET_ENUM_BASE_ : int32_t
#else
#define LINNET_ENUM_BASE_
#endif

#define LINNET_ABI_VERSION 1

typedef struct linnet_status linnet_status;
typedef struct linnet_engine linnet_engine;
typedef struct linnet_load_options linnet_load_options;
typedef struct linnet_model linnet_model;
typedef struct linnet_session linnet_session;
typedef struct linnet_binding linnet_binding;
typedef struct linnet_value linnet_value;
typedef struct linnet_cancel linnet_cancel;
typedef struct linnet_profile linnet_profile;
typedef struct linnet_task linnet_task;
typedef struct linnet_op_context linnet_op_context; /* lives for one call of a custom operator; never released */

/* Closes a handle of any kind. NULL and what is closed already are ignored. Never waits for a run and never fails. */
LINNET_API void linnet_release(void* handle);
/* Handles that are open in this process: for tests that look for leaks. */
LINNET_API size_t linnet_open_handles(void);

/* --- status */

typedef enum linnet_code LINNET_ENUM_BASE_ {
  LINNET_OK = 0,
  LINNET_INVALID_ARGUMENT = 1, /* the caller's inputs, names, shapes or options */
  LINNET_INVALID_MODEL = 2,    /* the model contradicts the ONNX standard or itself */
  LINNET_UNSUPPORTED = 3,      /* valid, but this build cannot do it */
  LINNET_NOT_FOUND = 4,        /* a file, name or input that is not there */
  LINNET_IO = 5,               /* reading or writing failed */
  LINNET_OUT_OF_MEMORY = 6,    /* the system or the engine's limit refused */
  LINNET_CANCELLED = 7,
  LINNET_DEADLINE_EXCEEDED = 8,
  LINNET_INTERNAL = 9,         /* a defect of Linnet */
  LINNET_CLOSED = 10,          /* a handle that is closed, or no handle of the kind */
  LINNET_CALLBACK_FAILED = 11, /* a function that the caller supplied threw, or did not do what it must */
  LINNET_CODE_32_BITS_ = 0x7fffffff
} linnet_code;

LINNET_API linnet_code linnet_status_code(const linnet_status* status);    /* LINNET_OK for NULL */
LINNET_API const char* linnet_status_message(const linnet_status* status); /* says what the two below do, too */
/* The path of the node that failed ("graph/name (Op)") and the types and shapes of its inputs ("float[2x3], int64[1]"),
 * else "". */
LINNET_API const char* linnet_status_node(const linnet_status* status);
LINNET_API const char* linnet_status_inputs(const linnet_status* status);
/* For callbacks to return. NULL for LINNET_OK. */
LINNET_API linnet_status* linnet_status_create(linnet_code code, const char* message);
LINNET_API const char* linnet_code_name(linnet_code code); /* "invalid argument" */

/* --- the library */

LINNET_API const char* linnet_version(void);  /* "0.1.0" */
LINNET_API uint32_t linnet_abi_version(void); /* LINNET_ABI_VERSION of the library that runs */
/* Whether this build on this machine has a feature: "device:cpu", "isa:avx2" (the instruction set in use), or an
 * operator by domain and name, "op:ai.onnx.Conv", "op:com.microsoft.Attention". Names that it does not know are 0. */
LINNET_API int32_t linnet_has_feature(const char* name);

/* --- engine: the threads and the memory limit that models and sessions share */

typedef struct linnet_engine_options {
  size_t struct_size;
  size_t threads;      /* that compute, including the calling one; 0: one for each core that the process may use */
  size_t memory_limit; /* bytes for arenas and values of runs; 0: none */
  size_t runners;      /* most threads that carry asynchronous calls out; started when needed; 0: one for each core */
  const char* device;  /* NULL or "cpu" */
  /* A host's own threads, or NULL: calls part(context, i) for each i in [0, parts), possibly at once, and returns when
   * all have returned. Called from several threads. `threads` then tells how many run at once. Parts that it leaves
   * out, or leaves by an exception, are computed by the calling thread. */
  void (*executor)(void* user, size_t parts, void (*part)(void* context, size_t i), void* context);
  void* executor_user;
  void (*executor_release)(void* user);
} linnet_engine_options;

/* NULL options: the defaults. */
LINNET_API linnet_status* linnet_engine_create(const linnet_engine_options* options, linnet_engine** engine);
/* At any time but from a callback of a run; runs under way take the new count from their next step on. 0: one for each
 * core. No effect with an executor. */
LINNET_API linnet_status* linnet_engine_set_threads(linnet_engine* engine, size_t threads);
LINNET_API size_t linnet_engine_threads(const linnet_engine* engine);
LINNET_API linnet_status* linnet_engine_set_memory_limit(linnet_engine* engine, size_t bytes); /* 0: none */
LINNET_API size_t linnet_engine_memory_used(const linnet_engine* engine);

/* --- values: tensors, sequences, maps, and nothing (an optional without content)
 * What a value is never changes, only the elements of its memory do. */

/* The numbers of onnx.TensorProto.DataType. */
typedef enum linnet_dtype LINNET_ENUM_BASE_ {
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
  LINNET_INT2 = 26,
  LINNET_DTYPE_32_BITS_ = 0x7fffffff
} linnet_dtype;

typedef enum linnet_kind LINNET_ENUM_BASE_ {
  LINNET_NONE = 0,
  LINNET_TENSOR = 1,
  LINNET_SEQUENCE = 2,
  LINNET_MAP = 3,
  LINNET_OPTIONAL = 4, /* of ports only: a value is LINNET_NONE or what the optional holds */
  LINNET_KIND_32_BITS_ = 0x7fffffff
} linnet_kind;

/* What a value is and where its elements lie, without a copy. */
typedef struct linnet_view {
  size_t struct_size;
  linnet_kind kind;
  linnet_dtype dtype; /* of a sequence or map: of the tensors within */
  size_t rank;
  const int64_t* shape;
  int64_t count; /* elements of a tensor or sequence, entries of a map */
  void* data;    /* of a tensor of numbers, row-major, never NULL; 2- and 4-bit elements are packed, low bits first */
  size_t bytes;
} linnet_view;

/* A tensor with memory of its own, zeroed; strings are empty. */
LINNET_API linnet_status* linnet_value_create_tensor(linnet_dtype dtype, const int64_t* shape, size_t rank,
                                                     linnet_value** value);
/* A tensor over the caller's memory of `bytes` bytes, which must be at least what dtype and shape ask for, and aligned
 * for the element. */
LINNET_API linnet_status* linnet_value_borrow_tensor(linnet_dtype dtype, const int64_t* shape, size_t rank, void* data,
                                                     size_t bytes, void (*release)(void* user), void* user,
                                                     linnet_value** value);
/* A string tensor; the texts are copied. lengths: in bytes; NULL for texts that end with NUL. */
LINNET_API linnet_status* linnet_value_create_strings(const char* const* texts, const size_t* lengths,
                                                      const int64_t* shape, size_t rank, linnet_value** value);
/* A sequence of tensors of the one type, or of maps whose values are; it shares the elements' memory. */
LINNET_API linnet_status* linnet_value_create_sequence(linnet_dtype dtype, const linnet_value* const* elements,
                                                       size_t count, linnet_value** value);
/* keys: a 1-D tensor of int64 or strings; values: a 1-D tensor of as many elements. Shares their memory. */
LINNET_API linnet_status* linnet_value_create_map(const linnet_value* keys, const linnet_value* values,
                                                  linnet_value** value);
LINNET_API linnet_status* linnet_value_create_none(linnet_value** value);
/* Another handle of the same value. */
LINNET_API linnet_status* linnet_value_share(const linnet_value* value, linnet_value** shared);

LINNET_API linnet_status* linnet_value_view(const linnet_value* value, linnet_view* view);
/* Element i of a string tensor and its length in bytes (`length` may be NULL); NULL when there is none. */
LINNET_API const char* linnet_value_string(const linnet_value* value, size_t i, size_t* length);
/* Element i of a sequence; of a map its keys (0) and values (1), each a tensor. */
LINNET_API linnet_status* linnet_value_at(const linnet_value* value, size_t i, linnet_value** element);

/* --- loading */

typedef enum linnet_level LINNET_ENUM_BASE_ {
  LINNET_LEVEL_NONE = 0,     /* the graph as the model has it */
  LINNET_LEVEL_BASIC = 1,    /* rewrites that leave standard operators */
  LINNET_LEVEL_EXTENDED = 2, /* and fusions */
  LINNET_LEVEL_ALL = 3,      /* and the layout that the engine prefers */
  LINNET_LEVEL_32_BITS_ = 0x7fffffff
} linnet_level;

typedef enum linnet_severity LINNET_ENUM_BASE_ {
  LINNET_VERBOSE = 0,
  LINNET_INFO = 1,
  LINNET_WARNING = 2,
  LINNET_ERROR = 3,
  LINNET_SEVERITY_32_BITS_ = 0x7fffffff
} linnet_severity;

LINNET_API linnet_status* linnet_load_options_create(linnet_load_options** options);
/* Without it: all. */
LINNET_API linnet_status* linnet_load_options_set_level(linnet_load_options* options, linnet_level level);
LINNET_API linnet_status* linnet_load_options_disable_pass(linnet_load_options* options, const char* pass);
/* A symbolic size of the inputs becomes a number. */
LINNET_API linnet_status* linnet_load_options_fix_size(linnet_load_options* options, const char* name, int64_t size);
/* Type and shape must be those of the model's initializer. Shares the tensor's memory. */
LINNET_API linnet_status* linnet_load_options_replace_initializer(linnet_load_options* options, const char* name,
                                                                  const linnet_value* tensor);
/* The content of an external data file, by the location that the model names. */
LINNET_API linnet_status* linnet_load_options_supply_external_data(linnet_load_options* options, const char* location,
                                                                   const void* data, size_t size,
                                                                   void (*release)(void* user), void* user);
/* Makes an inner value of the main graph an output, after the model's own. */
LINNET_API linnet_status* linnet_load_options_add_output(linnet_load_options* options, const char* value);
/* Not 0: reads files into memory instead of mapping them, for files that others may write meanwhile. */
LINNET_API linnet_status* linnet_load_options_set_copy_files(linnet_load_options* options, int32_t copy);
/* Of random operators that have none of their own. */
LINNET_API linnet_status* linnet_load_options_set_seed(linnet_load_options* options, uint64_t seed);
/* A folder where what loading computes is kept for the next start; NULL: none. */
LINNET_API linnet_status* linnet_load_options_set_cache_folder(linnet_load_options* options, const char* folder);
/* Stops loading and what is written with these options (compiling, optimising, quantising) before its next stage: a
 * rewrite of the graph, packing, writing. NULL: nothing does. */
LINNET_API linnet_status* linnet_load_options_set_cancel(linnet_load_options* options, const linnet_cancel* cancel);
/* Called before each of these stages on the thread that carries it out: `done` of `total`, and what comes. `release` as
 * for lent memory. NULL progress: none. */
LINNET_API linnet_status* linnet_load_options_set_progress(linnet_load_options* options,
                                                           void (*progress)(void* user, size_t done, size_t total,
                                                                            const char* what),
                                                           void (*release)(void* user), void* user);
/* Called on the thread that loads. `release` as for lent memory. NULL log: none. */
LINNET_API linnet_status* linnet_load_options_set_log(linnet_load_options* options,
                                                      void (*log)(void* user, linnet_severity severity,
                                                                  const char* text),
                                                      void (*release)(void* user), void* user);

/* Where a model comes from: one of path, data, and the two functions. Through the functions a model need not be a file,
 * or not in the clear: Linnet reads what they give into memory of its own. They are called on the thread that loads,
 * and again by a run that asks for an inner value by name. */
typedef struct linnet_source {
  size_t struct_size;
  const char* path;
  const void* data; /* lent */
  size_t size;
  /* `name` is "" for the model itself, else the location of external data as the model has it, which is not to be
   * trusted: for names that they do not know they give a status, LINNET_NOT_FOUND. */
  linnet_status* (*length)(void* user, const char* name, uint64_t* bytes);
  linnet_status* (*read)(void* user, const char* name, uint64_t offset, void* to, size_t bytes);
  void (*release)(void* user); /* of data or the functions */
  void* user;
} linnet_source;

/* NULL options: the defaults. The options are copied. */
LINNET_API linnet_status* linnet_model_load(linnet_engine* engine, const char* path, const linnet_load_options* options,
                                            linnet_model** model);
/* From memory, which is copied. External data has to be supplied, as for any model in memory. */
LINNET_API linnet_status* linnet_model_load_bytes(linnet_engine* engine, const void* data, size_t size,
                                                  const linnet_load_options* options, linnet_model** model);
LINNET_API linnet_status* linnet_model_load_source(linnet_engine* engine, const linnet_source* source,
                                                   const linnet_load_options* options, linnet_model** model);

/* --- writing models
 * What is written appears whole or not at all, and never in place of a file that the model was read from. */

typedef struct linnet_optimize_options {
  size_t struct_size;
  linnet_dtype floats;           /* LINNET_FLOAT16 or LINNET_BFLOAT16: what float32 becomes; 0: it stays */
  int32_t convert_io;            /* not 0: inputs and outputs become that, too */
  const char* const* keep_float; /* operators, and nodes by name, that go on computing in float32 */
  size_t keep_float_count;
  size_t external_from;  /* weights of at least so many bytes go to a file beside the model, named like it with ".data"
                            appended; 0: only where the model would exceed the 2 GB of an ONNX file */
  linnet_cancel* cancel; /* or NULL */
  /* Inputs, by name, whose sizes become these: input i has the shape shapes[i][0 .. ranks[i]). */
  const char* const* shaped_inputs;
  const int64_t* const* shapes;
  const size_t* ranks;
  size_t shape_count;
  linnet_value** report; /* or NULL; receives JSON that tells what each pass did, as a string tensor of one element */
} linnet_optimize_options;

/* Rewrites a model and writes it as an .onnx file. The level says who loads that: everybody up to LINNET_LEVEL_BASIC,
 * who knows the operators of com.microsoft up to LINNET_LEVEL_EXTENDED, only Linnet beyond. It goes before that of the
 * load options; their log is told what each pass did. */
LINNET_API linnet_status* linnet_optimize(const linnet_source* source, linnet_level level,
                                          const linnet_load_options* load, const linnet_optimize_options* options,
                                          const char* path);
/* Writes a model as it is after loading, with packed weights, for this version of Linnet: functions that load a model
 * take the file, and start at once. */
LINNET_API linnet_status* linnet_compile(linnet_engine* engine, const linnet_source* source,
                                         const linnet_load_options* load, const char* path);

/* Asynchronous calls, in the section of these, have linnet_optimize_async and linnet_compile_async. */

/* --- what a model is */

typedef struct linnet_port {
  size_t struct_size;
  const char* name;
  linnet_kind kind;
  linnet_kind content;    /* what an optional or sequence holds; else `kind` */
  linnet_dtype dtype;     /* of the tensors within; of a map's values */
  linnet_dtype key_dtype; /* of a map's keys */
  int32_t ranked;         /* 0: the rank is not known */
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
/* Bytes of weights, as they are used: mapped, in memory and repacked. */
LINNET_API size_t linnet_model_bytes(const linnet_model* model);

/* --- running */

typedef struct linnet_run_options {
  size_t struct_size;
  linnet_cancel* cancel;   /* or NULL */
  int64_t timeout_ms;      /* from the call on; 0: none */
  linnet_profile* profile; /* or NULL; receives the run's events */
} linnet_run_options;

LINNET_API linnet_status* linnet_cancel_create(linnet_cancel** cancel);
LINNET_API void linnet_cancel_request(linnet_cancel* cancel); /* for all runs that have it, and for good */
LINNET_API linnet_status* linnet_profile_create(linnet_profile** profile);
/* Chrome's trace-event JSON of all runs that have ended so far, as a string tensor of one element. */
LINNET_API linnet_status* linnet_profile_trace(const linnet_profile* profile, linnet_value** json);

/* Any number of threads may run one session at once. NULL engine: the model's. */
LINNET_API linnet_status* linnet_session_create(linnet_engine* engine, linnet_model* model, linnet_session** session);
/* input_names and output_names: NULL for the model's order, in which case the counts must be the model's; else in any
 * order, and only the outputs that are named are computed. An output's name may be that of any inner value of the
 * model's main graph: the session then loads the model a second time with that value as output, and keeps it. An
 * optional input that holds nothing is NULL or a LINNET_NONE value. outputs: an entry that is NULL receives a new
 * value; one that is a tensor has the result written to its memory, and the run fails with LINNET_INVALID_ARGUMENT when
 * type or shape differ. On failure no entry has changed, but such memory may have. */
LINNET_API linnet_status* linnet_session_run(linnet_session* session, const linnet_run_options* options,
                                             const char* const* input_names, const linnet_value* const* inputs,
                                             size_t input_count, const char* const* output_names,
                                             linnet_value** outputs, size_t output_count);
/* Gives memory that no run uses back to the system. */
LINNET_API void linnet_session_trim(linnet_session* session);

/* Inputs and outputs that stay bound from run to run: a second run of the same shapes neither allocates nor copies. One
 * run at a time: a second one meanwhile, and setting a port, fail with LINNET_INVALID_ARGUMENT. */
LINNET_API linnet_status* linnet_binding_create(linnet_session* session, linnet_binding** binding);
/* Shares the value's memory; what is written there is seen by the next run. */
LINNET_API linnet_status* linnet_binding_set_input(linnet_binding* binding, const char* name,
                                                   const linnet_value* value);
/* The output is written to the value's memory; type and shape must agree. NULL (the default): memory is made once and
 * kept. */
LINNET_API linnet_status* linnet_binding_set_output(linnet_binding* binding, const char* name,
                                                    const linnet_value* value);
LINNET_API linnet_status* linnet_binding_run(linnet_binding* binding, const linnet_run_options* options);
/* The output of the last run, sharing its memory: the next run of the same shapes writes there. */
LINNET_API linnet_status* linnet_binding_output(const linnet_binding* binding, const char* name, linnet_value** value);

/* --- asynchronous calls: carried out in order of arrival by the engine's runner threads
 * A task is one such call. Closing its handle neither cancels it nor keeps its completion from coming. */

#define LINNET_POST_AND_WAIT 2

typedef struct linnet_completion {
  size_t struct_size;
  /* Called once from a runner thread when the task has ended, or NULL. `task` is a handle for the time of the call;
   * Linnet closes it. */
  void (*done)(void* user, linnet_task* task);
  void (*release)(void* user); /* when `done` has returned; or NULL */
  void* user;
  /* For Dart: NativeApi.postCObject, or NULL. When the task has ended, the integer `message` is posted to `port`; a
   * port that is gone is no error. */
  int8_t (*post)(int64_t port, void* message);
  int64_t port;
  int64_t message;
  int32_t post_progress; /* not 0: posts lists [message, done, total, what], too, while a model is loaded or written;
                            LINNET_POST_AND_WAIT: and waits each time for linnet_task_continue */
} linnet_completion;

/* As linnet_session_run, but outputs are asked of the task. outputs: NULL, or tensors to write to and NULLs. Values and
 * names may be released at once; the memory of tensors is in use until the task has ended. NULL completion: none.
 * `task` may be NULL. */
LINNET_API linnet_status* linnet_session_run_async(linnet_session* session, const linnet_run_options* options,
                                                   const char* const* input_names, const linnet_value* const* inputs,
                                                   size_t input_count, const char* const* output_names,
                                                   const linnet_value* const* outputs, size_t output_count,
                                                   const linnet_completion* completion, linnet_task** task);
LINNET_API linnet_status* linnet_binding_run_async(linnet_binding* binding, const linnet_run_options* options,
                                                   const linnet_completion* completion, linnet_task** task);
/* As linnet_model_load_source. */
LINNET_API linnet_status* linnet_model_load_async(linnet_engine* engine, const linnet_source* source,
                                                  const linnet_load_options* options,
                                                  const linnet_completion* completion, linnet_task** task);

/* As linnet_optimize. Its options' `report` is not used: linnet_task_report. */
LINNET_API linnet_status* linnet_optimize_async(linnet_engine* engine, const linnet_source* source, linnet_level level,
                                                const linnet_load_options* load, const linnet_optimize_options* options,
                                                const char* path, const linnet_completion* completion,
                                                linnet_task** task);
/* As linnet_compile. */
LINNET_API linnet_status* linnet_compile_async(linnet_engine* engine, const linnet_source* source,
                                               const linnet_load_options* load, const char* path,
                                               const linnet_completion* completion, linnet_task** task);

/* Whether it has ended within timeout_ms; below 0: waits for as long as it takes. Its completion may still be running
 * then. Not from a callback. */
LINNET_API linnet_status* linnet_task_wait(const linnet_task* task, int64_t timeout_ms, int32_t* ended);
/* A run stops at its next step, another call at its next stage; a task that has ended stays as it is. */
LINNET_API void linnet_task_cancel(linnet_task* task);
/* Whoever was told of the progress has seen to it. Does nothing where nobody waits for that. */
LINNET_API void linnet_task_continue(linnet_task* task);
/* How the call ended: NULL or its failure, LINNET_CANCELLED among them. LINNET_INVALID_ARGUMENT while it has not ended.
 */
LINNET_API linnet_status* linnet_task_result(const linnet_task* task);
/* Output i of a run, in the order asked for. Shares the memory. */
LINNET_API linnet_status* linnet_task_output(const linnet_task* task, size_t i, linnet_value** value);
LINNET_API linnet_status* linnet_task_model(const linnet_task* task, linnet_model** model);
/* What optimising or quantising reports, JSON as a string tensor of one element. */
LINNET_API linnet_status* linnet_task_report(const linnet_task* task, linnet_value** report);

/* --- custom operators: planned, optimised and run like the built-in ones
 * Callbacks may be called on any thread that loads or runs the model, several at once for one node. A node whose inputs
 * are all constant may be computed while the model loads. They return NULL, or a status, which Linnet releases. */

typedef enum linnet_op_flags LINNET_ENUM_BASE_ {
  LINNET_OP_RANDOM = 1, /* equal inputs may give different outputs: never computed ahead or merged with an equal node */
  LINNET_OP_TAKES_VALUES = 2, /* inputs may be sequences, maps or nothing */
  LINNET_OP_REPLACES = 4,     /* goes before a built-in operator of the same name; without it a built-in one stays */
  LINNET_OP_FLAGS_32_BITS_ = 0x7fffffff
} linnet_op_flags;

typedef struct linnet_operator {
  size_t struct_size;
  const char* domain;
  const char* name;
  int32_t since_version; /* the oldest version of the domain's operator set that it serves; 0: all */
  uint32_t flags;        /* linnet_op_flags */
  size_t min_inputs, max_inputs, min_outputs, max_outputs; /* up to 254; SIZE_MAX: any number */
  /* For each node, at times more than once: reads its attributes. What it leaves in *node is passed to the other
   * callbacks. May be NULL. */
  linnet_status* (*create)(void* user, linnet_op_context* context, void** node);
  void (*destroy)(void* user, void* node); /* may be NULL */
  /* Types and shapes of the outputs: at load with open sizes, and again with numbers for each new shape of the inputs.
   */
  linnet_status* (*infer)(void* user, void* node, linnet_op_context* context);
  linnet_status* (*compute)(void* user, void* node, linnet_op_context* context);
  void (*release)(void* user); /* when no options and no model has the operator any more; may be NULL */
  void* user;
} linnet_operator;

/* The texts are copied. */
LINNET_API linnet_status* linnet_load_options_add_operator(linnet_load_options* options, const linnet_operator* op);

LINNET_API size_t linnet_op_input_count(const linnet_op_context* context);
LINNET_API size_t linnet_op_output_count(const linnet_op_context* context);
/* In create. An attribute as a value of its own: int and float as scalars, texts as strings, lists with one dimension,
 * tensors as they are; *value is NULL when the node has none. An attribute that is never asked for fails the load. */
LINNET_API linnet_status* linnet_op_attribute(linnet_op_context* context, const char* name, linnet_value** value);
/* In infer and compute. An input that is left out is LINNET_NONE. In infer a negative size is open: the same number
 * stands for the same size, and may be used in an output's shape to say so; `data` is NULL unless the elements are
 * known already. rank is SIZE_MAX when even that is open. */
LINNET_API linnet_status* linnet_op_input(const linnet_op_context* context, size_t i, linnet_view* view);
/* In infer: what output o will be. A size that only compute can tell is -1. In compute, for such an output: gives it
 * its memory. */
LINNET_API linnet_status* linnet_op_set_output(linnet_op_context* context, size_t o, linnet_dtype dtype,
                                               const int64_t* shape, size_t rank);
/* In infer, for an output that is a sequence or map: its kind, and the type of the tensors within. */
LINNET_API linnet_status* linnet_op_set_output_kind(linnet_op_context* context, size_t o, linnet_kind kind,
                                                    linnet_dtype dtype);
/* In compute: where the output's elements go. LINNET_NONE when nobody wants it. */
LINNET_API linnet_status* linnet_op_output(const linnet_op_context* context, size_t o, linnet_view* view);
/* In compute: inputs and outputs as values, for strings, sequences and maps. */
LINNET_API linnet_status* linnet_op_input_value(const linnet_op_context* context, size_t i, linnet_value** value);
LINNET_API linnet_status* linnet_op_set_output_value(linnet_op_context* context, size_t o, const linnet_value* value);
/* In compute: calls body(user, begin, end) for ranges that cover [0, count), of at least `grain` items, on the engine's
 * threads. */
LINNET_API linnet_status* linnet_op_parallel(linnet_op_context* context, size_t count, size_t grain,
                                             void (*body)(void* user, size_t begin, size_t end), void* user);
/* In compute: not 0 once the run is cancelled or late. Long computations ask and return early. */
LINNET_API int32_t linnet_op_stopped(const linnet_op_context* context);

/* --- quantising: a model in lower precision, written as a standard model */

typedef enum linnet_quantize_scheme LINNET_ENUM_BASE_ {
  LINNET_QUANTIZE_DYNAMIC = 0, /* 8-bit weights; activations are quantised as they are computed */
  LINNET_QUANTIZE_STATIC = 1,  /* activations with ranges that are measured on samples */
  LINNET_QUANTIZE_WEIGHTS = 2, /* weights in blocks of few bits; activations stay floats */
  LINNET_QUANTIZE_SCHEME_32_BITS_ = 0x7fffffff
} linnet_quantize_scheme;

typedef enum linnet_symmetry LINNET_ENUM_BASE_ {
  LINNET_SYMMETRY_BY_TYPE = 0, /* int8 symmetric, uint8 not; blocks symmetric */
  LINNET_SYMMETRIC = 1,
  LINNET_ASYMMETRIC = 2,
  LINNET_SYMMETRY_32_BITS_ = 0x7fffffff
} linnet_symmetry;

/* 0 and NULL stand for the defaults. An option that is given and has no use with the others is refused. */
typedef struct linnet_quantize_options {
  size_t struct_size;
  linnet_quantize_scheme scheme;
  linnet_symmetry weight_symmetry;
  /* Nodes by name, operator type or pattern ("*" any characters, "?" one). No includes: all that the scheme knows. */
  const char* const* include;
  size_t include_count;
  const char* const* exclude;
  size_t exclude_count;
  /* dynamic, static */
  linnet_dtype weight_type; /* LINNET_INT8 (also for LINNET_UNDEFINED) or LINNET_UINT8 */
  int32_t per_channel;      /* a scale for each output channel of a weight */
  int32_t reduce_range;     /* weights of 7 bits, for runtimes whose sums saturate */
  /* weights */
  int32_t bits;           /* 4 (also for 0) or 8 */
  int32_t block;          /* weights that share a scale: a power of two from 16 to 256; 0: 32 */
  int32_t half_quadratic; /* zero points that suit most weights of a block, not only its range */
  int32_t embeddings;     /* tables of embeddings too */
  int32_t accuracy_level; /* of MatMulNBits: 0, or 4, which lets a runtime round activations to 8 bits */
  /* static; samples and functions also for the method gptq */
  linnet_dtype activation_type; /* LINNET_INT8 (also for LINNET_UNDEFINED), UINT8, INT16 or UINT16 */
  int32_t activation_symmetric;
  int32_t q_operator;             /* integer operators instead of QuantizeLinear and DequantizeLinear */
  const char* calibration_method; /* "minmax" (also for NULL), "entropy", "percentile" or "mse" */
  double percentile;              /* of elements that a range covers; 0: 99.999 */
  size_t sample_count;
  /* Sample i: sets inputs[k] to a value for each input of the model in its order. Linnet closes the handles. */
  linnet_status* (*sample)(void* user, size_t i, linnet_value** inputs, size_t input_count);
  /* Before each node and sample; may be NULL. */
  void (*progress)(void* user, size_t done, size_t total, const char* what);
  void* user;
  linnet_cancel* cancel; /* or NULL */
  /* Instead of `sample`, where their number is not known: sets inputs, whose names it is told, as that does, or *ended
   * to 1. `pass` counts up when the samples are needed again, from the first one on. */
  linnet_status* (*next)(void* user, size_t pass, const char* const* names, linnet_value** inputs, size_t input_count,
                         int32_t* ended);
  int32_t equalise;            /* channels of Convs behind each other become alike first */
  int32_t smooth;              /* and those of what MatMul and Gemm read; the samples are needed twice */
  double smooth_alpha;         /* how much of the activations' outliers goes into the weights, above 0 to 1; 0: 0.5 */
  int32_t keep_biases;         /* biases do not make up for what rounding the weights does to means */
  int32_t moving_average;      /* minmax: the mean of the samples' ranges, not their union */
  int32_t symmetric_range;     /* ranges equally far to both sides of zero */
  int32_t num_bins;            /* entropy: bins of the distribution; 0: 128 */
  int32_t num_quantized_bins;  /* entropy: bins that they are merged to; 0: 128 */
  const linnet_source* source; /* of linnet_quantize, instead of its path, which is NULL then */
  /* weights */
  const char* method;    /* "nearest" (also for NULL), "hqq" (half_quadratic), or "gptq": weights make up for each
                            other's errors, by what the model computes for samples */
  double damping;        /* gptq: what is added to the mean square of inputs, as a part of it; 0: 0.05 */
  int32_t act_order;     /* gptq: columns with the greatest inputs first */
  int32_t search_ranges; /* nearest: ranges narrower than the weights where that has less errors; gptq does so anyway */
  size_t gptq_memory; /* gptq: bytes for what is kept of the samples, beyond which they are needed again; 0: 256 MB */
  /* With `explain`, or what follows it, the model and the quantised one run on the samples, which every scheme takes
   * then, and the report tells of quality, noise inside, and times. Samples of unknown number are kept in memory. */
  int32_t explain;
  const int64_t* labels; /* the samples' right answers: indices of the greatest element of an output, or its number */
  size_t label_count;
  const char* label_output; /* NULL: the first with one row of scores */
  size_t sensitivity;       /* so many nodes are quantised alone, those of the noisiest weights first; SIZE_MAX: all */
  int32_t only_faster;      /* nodes that take longer than before on this machine stay floats */
} linnet_quantize_options;

/* Reads the model at `path` and writes the quantised one to `output`, which is not a file of the model: whole or not at
 * all. NULL options: the defaults. *report, unless `report` is NULL: JSON that tells of each node what it became or why
 * it stays, as a string tensor of one element. */
LINNET_API linnet_status* linnet_quantize(linnet_engine* engine, const char* path,
                                          const linnet_load_options* load_options,
                                          const linnet_quantize_options* options, const char* output,
                                          linnet_value** report);
/* The same as a task. Where static options have neither `sample` nor `next`, and the completion has `post`, samples are
 * asked for by posting a list [message, pass, [names of the inputs]], each to be answered by linnet_task_give_sample.
 * `user` and what the functions use must live until the task has ended. */
LINNET_API linnet_status* linnet_quantize_async(linnet_engine* engine, const linnet_source* source,
                                                const linnet_load_options* load_options,
                                                const linnet_quantize_options* options, const char* output,
                                                const linnet_completion* completion, linnet_task** task);
/* --- tuning: the form of a model that suits limits on quality, time and size */

typedef struct linnet_tune_options {
  size_t struct_size;
  /* For the result, its manifest, what is known so far and, meanwhile, candidates; made if need be. The result of a
   * search that has ended is replaced, that of one that was interrupted is not. What a process that was killed has left
   * of candidates, the next search in the folder deletes. */
  const char* folder;
  const char* output; /* the model to write; NULL: model.onnx in the folder */
  /* Limits; 0: none, but for max_loss. */
  double max_loss;       /* what `measure` may lose beside the model itself; 0: 0.01, or with no_loss nothing */
  double p95_ms;         /* that 95 of 100 runs take at most */
  uint64_t max_bytes;    /* of the model's files */
  uint64_t max_memory;   /* bytes that the engine reserves */
  const char* measure;   /* "cosine" or "top1" of the outputs, or "accuracy"; NULL: accuracy with labels, else cosine */
  const char* prefer;    /* among those that keep the limits: "speed" (also NULL), "size", "quality" or "memory" */
  const int64_t* labels; /* the samples' right answers, as linnet_quantize_options has them */
  size_t label_count;
  const size_t* threads; /* numbers of threads to try; none: one thread */
  size_t thread_count;
  double budget_seconds;   /* after which nothing new is begun; 0: 300 */
  int32_t resume;          /* goes on with a search in the folder that was cancelled, or ran out of time */
  const char* sample_path; /* where the command line finds the samples, for the command in the manifest; may be NULL */
  /* Samples to judge, time and calibrate with, as in linnet_quantize_options. */
  size_t sample_count;
  linnet_status* (*sample)(void* user, size_t i, linnet_value** inputs, size_t input_count);
  linnet_status* (*next)(void* user, size_t pass, const char* const* names, linnet_value** inputs, size_t input_count,
                         int32_t* ended);
  void (*progress)(void* user, size_t done, size_t total, const char* what); /* total may be 0: unknown */
  void* user;
  linnet_cancel* cancel; /* or NULL; what is known so far stays in the folder */
  int32_t no_loss;       /* not 0: `measure` may lose nothing; max_loss is 0 then */
  /* Other samples to calibrate with than those to judge by, as these; with none of the three, those serve. */
  int32_t post_calibration; /* not 0: a task asks for them, too, where there is no function: its messages have the pass
                               -1 - pass */
  size_t calibration_count;
  linnet_status* (*calibration_sample)(void* user, size_t i, linnet_value** inputs, size_t input_count);
  linnet_status* (*calibration_next)(void* user, size_t pass, const char* const* names, linnet_value** inputs,
                                     size_t input_count, int32_t* ended);
  const char* calibration_path; /* as sample_path; may be NULL */
} linnet_tune_options;

/* Tries ways to optimise and quantise the model at `path`, judges them on the samples and times them on this machine.
 * *report, unless `report` is NULL: JSON with all candidates, "points" (a candidate on a number of threads), the index
 * "chosen" of the point that was written, and its "command". Where none keeps the limits no model is written, and
 * "nearest" and "beyond" stand there instead: that is no error. */
LINNET_API linnet_status* linnet_tune(const char* path, const linnet_tune_options* options, linnet_value** report);
/* The same as a task, whose samples may be posted for as those of linnet_quantize_async. */
LINNET_API linnet_status* linnet_tune_async(linnet_engine* engine, const char* path, const linnet_tune_options* options,
                                            const linnet_completion* completion, linnet_task** task);

/* The sample that was asked for, a value for each input of the model in its order; no inputs: there are no more. A task
 * whose handles are all closed while it asks is cancelled. */
LINNET_API linnet_status* linnet_task_give_sample(linnet_task* task, const linnet_value* const* inputs, size_t count);

#ifdef __cplusplus
}
#endif

#endif /* LINNET_LINNET_H_ */
