/// The functions and structs of `linnet.h` that this package calls, as they are there.
///
/// A handle is not an address, so it travels as a plain integer. Functions that return at once are leaf calls, to which
/// Dart's own lists can be lent; those that may compute for long are not, so that other isolates can collect garbage.
///
/// The symbols come from the code asset that `hook/build.dart` bundles under the name of this file; without one, from
/// what the process has loaded, which `library.dart` sees to.
library;

import 'dart:ffi';

final class NativeView extends Struct {
  @Size()
  external int structSize;
  @Int32()
  external int kind;
  @Int32()
  external int dtype;
  @Size()
  external int rank;
  external Pointer<Int64> shape;
  @Int64()
  external int count;
  external Pointer<Uint8> data;
  @Size()
  external int bytes;
}

final class NativePort extends Struct {
  @Size()
  external int structSize;
  external Pointer<Uint8> name;
  @Int32()
  external int kind;
  @Int32()
  external int content;
  @Int32()
  external int dtype;
  @Int32()
  external int keyDtype;
  @Int32()
  external int ranked;
  @Size()
  external int rank;
  external Pointer<Int64> shape;
  external Pointer<Pointer<Uint8>> sizeNames;
}

final class NativeEngineOptions extends Struct {
  @Size()
  external int structSize;
  @Size()
  external int threads;
  @Size()
  external int memoryLimit;
  @Size()
  external int runners;
  external Pointer<Uint8> device;
  external Pointer<Void> executor;
  external Pointer<Void> executorUser;
  external Pointer<Void> executorRelease;
}

final class NativeSource extends Struct {
  @Size()
  external int structSize;
  external Pointer<Uint8> path;
  external Pointer<Uint8> data;
  @Size()
  external int size;
  external Pointer<Void> length;
  external Pointer<Void> read;
  external Pointer<NativeFinalizerFunction> release;
  @UintPtr()
  external int user;
}

final class NativeRunOptions extends Struct {
  @Size()
  external int structSize;
  @UintPtr()
  external int cancel;
  @Int64()
  external int timeoutMs;
  @UintPtr()
  external int profile;
}

final class NativeCompletion extends Struct {
  @Size()
  external int structSize;
  external Pointer<Void> done;
  external Pointer<Void> release;
  external Pointer<Void> user;
  external Pointer<NativeFunction<Int8 Function(Int64, Pointer<Dart_CObject>)>> post;
  @Int64()
  external int port;
  @Int64()
  external int message;
  @Int32()
  external int postProgress;
}

final class NativeOptimizeOptions extends Struct {
  @Size()
  external int structSize;
  @Int32()
  external int floats;
  @Int32()
  external int convertIo;
  external Pointer<UintPtr> keepFloat;
  @Size()
  external int keepFloatCount;
  @Size()
  external int externalFrom;
  @UintPtr()
  external int cancel;
  external Pointer<UintPtr> shapedInputs;
  external Pointer<UintPtr> shapes;
  external Pointer<UintPtr> ranks;
  @Size()
  external int shapeCount;
  external Pointer<UintPtr> report;
}

final class NativeQuantizeOptions extends Struct {
  @Size()
  external int structSize;
  @Int32()
  external int scheme;
  @Int32()
  external int weightSymmetry;
  external Pointer<UintPtr> include;
  @Size()
  external int includeCount;
  external Pointer<UintPtr> exclude;
  @Size()
  external int excludeCount;
  @Int32()
  external int weightType;
  @Int32()
  external int perChannel;
  @Int32()
  external int reduceRange;
  @Int32()
  external int bits;
  @Int32()
  external int block;
  @Int32()
  external int halfQuadratic;
  @Int32()
  external int embeddings;
  @Int32()
  external int accuracyLevel;
  @Int32()
  external int activationType;
  @Int32()
  external int activationSymmetric;
  @Int32()
  external int qOperator;
  external Pointer<Uint8> calibrationMethod;
  @Double()
  external double percentile;
  @Size()
  external int sampleCount;
  external Pointer<Void> sample;
  external Pointer<Void> progress;
  external Pointer<Void> user;
  @UintPtr()
  external int cancel;
  external Pointer<Void> next;
  @Int32()
  external int equalise;
  @Int32()
  external int smooth;
  @Double()
  external double smoothAlpha;
  @Int32()
  external int keepBiases;
  @Int32()
  external int movingAverage;
  @Int32()
  external int symmetricRange;
  @Int32()
  external int numBins;
  @Int32()
  external int numQuantizedBins;
  external Pointer<Void> source;
  external Pointer<Uint8> method;
  @Double()
  external double damping;
  @Int32()
  external int actOrder;
  @Int32()
  external int searchRanges;
  @Size()
  external int gptqMemory;
  @Int32()
  external int explain;
  external Pointer<Int64> labels;
  @Size()
  external int labelCount;
  external Pointer<Uint8> labelOutput;
  @Size()
  external int sensitivity;
  @Int32()
  external int onlyFaster;
}

final class NativeTuneOptions extends Struct {
  @Size()
  external int structSize;
  external Pointer<Uint8> folder;
  external Pointer<Uint8> output;
  @Double()
  external double maxLoss;
  @Double()
  external double p95Ms;
  @Uint64()
  external int maxBytes;
  @Uint64()
  external int maxMemory;
  external Pointer<Uint8> measure;
  external Pointer<Uint8> prefer;
  external Pointer<Int64> labels;
  @Size()
  external int labelCount;
  external Pointer<UintPtr> threads;
  @Size()
  external int threadCount;
  @Double()
  external double budgetSeconds;
  @Int32()
  external int resume;
  external Pointer<Uint8> samplePath;
  @Size()
  external int sampleCount;
  external Pointer<Void> sample;
  external Pointer<Void> next;
  external Pointer<Void> progress;
  external Pointer<Void> user;
  @UintPtr()
  external int cancel;
  @Int32()
  external int noLoss;
  @Int32()
  external int postCalibration;
  @Size()
  external int calibrationCount;
  external Pointer<Void> calibrationSample;
  external Pointer<Void> calibrationNext;
  external Pointer<Uint8> calibrationPath;
}

@Native<Void Function(UintPtr)>(symbol: 'linnet_release', isLeaf: true)
external void release(int handle);

/// [release] for [NativeFinalizer].
@Native<Void Function(Pointer<Void>)>(symbol: 'linnet_release')
external void _releaseToken(Pointer<Void> handle);
final Pointer<NativeFinalizerFunction> releaseAddress = Native.addressOf(_releaseToken);

@Native<Size Function()>(symbol: 'linnet_open_handles', isLeaf: true)
external int openHandles();

// --- status

@Native<Int32 Function(UintPtr)>(symbol: 'linnet_status_code', isLeaf: true)
external int statusCode(int status);
@Native<Pointer<Uint8> Function(UintPtr)>(symbol: 'linnet_status_message', isLeaf: true)
external Pointer<Uint8> statusMessage(int status);
@Native<Pointer<Uint8> Function(UintPtr)>(symbol: 'linnet_status_node', isLeaf: true)
external Pointer<Uint8> statusNode(int status);
@Native<Pointer<Uint8> Function(UintPtr)>(symbol: 'linnet_status_inputs', isLeaf: true)
external Pointer<Uint8> statusInputs(int status);

// --- the library

@Native<Pointer<Uint8> Function()>(symbol: 'linnet_version', isLeaf: true)
external Pointer<Uint8> version();
@Native<Uint32 Function()>(symbol: 'linnet_abi_version', isLeaf: true)
external int abiVersion();
@Native<Int32 Function(Pointer<Uint8>)>(symbol: 'linnet_has_feature', isLeaf: true)
external int hasFeature(Pointer<Uint8> name);

// --- engine

@Native<UintPtr Function(Pointer<NativeEngineOptions>, Pointer<UintPtr>)>(symbol: 'linnet_engine_create', isLeaf: true)
external int engineCreate(Pointer<NativeEngineOptions> options, Pointer<UintPtr> engine);
@Native<UintPtr Function(UintPtr, Size)>(symbol: 'linnet_engine_set_threads')
external int engineSetThreads(int engine, int threads);
@Native<Size Function(UintPtr)>(symbol: 'linnet_engine_threads', isLeaf: true)
external int engineThreads(int engine);
@Native<UintPtr Function(UintPtr, Size)>(symbol: 'linnet_engine_set_memory_limit', isLeaf: true)
external int engineSetMemoryLimit(int engine, int bytes);
@Native<Size Function(UintPtr)>(symbol: 'linnet_engine_memory_used', isLeaf: true)
external int engineMemoryUsed(int engine);

// --- values

@Native<UintPtr Function(Int32, Pointer<Int64>, Size, Pointer<UintPtr>)>(
    symbol: 'linnet_value_create_tensor', isLeaf: true)
external int valueCreateTensor(int dtype, Pointer<Int64> shape, int rank, Pointer<UintPtr> value);
@Native<UintPtr Function(Pointer<UintPtr>, Pointer<Size>, Pointer<Int64>, Size, Pointer<UintPtr>)>(
    symbol: 'linnet_value_create_strings', isLeaf: true)
external int valueCreateStrings(
    Pointer<UintPtr> texts, Pointer<Size> lengths, Pointer<Int64> shape, int rank, Pointer<UintPtr> value);
@Native<UintPtr Function(Int32, Pointer<UintPtr>, Size, Pointer<UintPtr>)>(
    symbol: 'linnet_value_create_sequence', isLeaf: true)
external int valueCreateSequence(int dtype, Pointer<UintPtr> elements, int count, Pointer<UintPtr> value);
@Native<UintPtr Function(UintPtr, UintPtr, Pointer<UintPtr>)>(symbol: 'linnet_value_create_map', isLeaf: true)
external int valueCreateMap(int keys, int values, Pointer<UintPtr> value);
@Native<UintPtr Function(Pointer<UintPtr>)>(symbol: 'linnet_value_create_none', isLeaf: true)
external int valueCreateNone(Pointer<UintPtr> value);
@Native<UintPtr Function(UintPtr, Pointer<UintPtr>)>(symbol: 'linnet_value_share', isLeaf: true)
external int valueShare(int value, Pointer<UintPtr> shared);
@Native<UintPtr Function(UintPtr, Pointer<NativeView>)>(symbol: 'linnet_value_view', isLeaf: true)
external int valueView(int value, Pointer<NativeView> view);
@Native<Pointer<Uint8> Function(UintPtr, Size, Pointer<Size>)>(symbol: 'linnet_value_string', isLeaf: true)
external Pointer<Uint8> valueString(int value, int i, Pointer<Size> length);
@Native<UintPtr Function(UintPtr, Size, Pointer<UintPtr>)>(symbol: 'linnet_value_at', isLeaf: true)
external int valueAt(int value, int i, Pointer<UintPtr> element);

// --- loading

@Native<UintPtr Function(Pointer<UintPtr>)>(symbol: 'linnet_load_options_create', isLeaf: true)
external int loadOptionsCreate(Pointer<UintPtr> options);
@Native<UintPtr Function(UintPtr, Pointer<Uint8>)>(symbol: 'linnet_load_options_disable_pass', isLeaf: true)
external int loadOptionsDisablePass(int options, Pointer<Uint8> pass);
@Native<UintPtr Function(UintPtr, Pointer<Uint8>, Int64)>(symbol: 'linnet_load_options_fix_size', isLeaf: true)
external int loadOptionsFixSize(int options, Pointer<Uint8> name, int size);
@Native<
    UintPtr Function(UintPtr, Pointer<Uint8>, Pointer<Uint8>, Size, Pointer<NativeFinalizerFunction>,
        UintPtr)>(symbol: 'linnet_load_options_supply_external_data', isLeaf: true)
external int loadOptionsSupplyExternalData(int options, Pointer<Uint8> location, Pointer<Uint8> data, int size,
    Pointer<NativeFinalizerFunction> release, int user);
@Native<UintPtr Function(UintPtr, Pointer<Uint8>)>(symbol: 'linnet_load_options_set_cache_folder', isLeaf: true)
external int loadOptionsSetCacheFolder(int options, Pointer<Uint8> folder);
@Native<UintPtr Function(UintPtr, UintPtr)>(symbol: 'linnet_load_options_set_cancel', isLeaf: true)
external int loadOptionsSetCancel(int options, int cancel);

// --- writing models

@Native<
    UintPtr Function(
        UintPtr,
        Pointer<NativeSource>,
        Int32,
        UintPtr,
        Pointer<NativeOptimizeOptions>,
        Pointer<Uint8>,
        Pointer<NativeCompletion>,
        Pointer<UintPtr>)>(symbol: 'linnet_optimize_async', isLeaf: true)
external int optimizeAsync(
    int engine,
    Pointer<NativeSource> source,
    int level,
    int load,
    Pointer<NativeOptimizeOptions> options,
    Pointer<Uint8> path,
    Pointer<NativeCompletion> completion,
    Pointer<UintPtr> task);
@Native<
    UintPtr Function(UintPtr, Pointer<NativeSource>, UintPtr, Pointer<Uint8>, Pointer<NativeCompletion>,
        Pointer<UintPtr>)>(symbol: 'linnet_compile_async', isLeaf: true)
external int compileAsync(int engine, Pointer<NativeSource> source, int load, Pointer<Uint8> path,
    Pointer<NativeCompletion> completion, Pointer<UintPtr> task);
@Native<
    UintPtr Function(
        UintPtr,
        Pointer<NativeSource>,
        UintPtr,
        Pointer<NativeQuantizeOptions>,
        Pointer<Uint8>,
        Pointer<NativeCompletion>,
        Pointer<UintPtr>)>(symbol: 'linnet_quantize_async', isLeaf: true)
external int quantizeAsync(
    int engine,
    Pointer<NativeSource> source,
    int load,
    Pointer<NativeQuantizeOptions> options,
    Pointer<Uint8> path,
    Pointer<NativeCompletion> completion,
    Pointer<UintPtr> task);

@Native<
    UintPtr Function(UintPtr, Pointer<Uint8>, Pointer<NativeTuneOptions>, Pointer<NativeCompletion>,
        Pointer<UintPtr>)>(symbol: 'linnet_tune_async', isLeaf: true)
external int tuneAsync(int engine, Pointer<Uint8> path, Pointer<NativeTuneOptions> options,
    Pointer<NativeCompletion> completion, Pointer<UintPtr> task);

// --- models

@Native<UintPtr Function(UintPtr, Pointer<NativeSource>, UintPtr, Pointer<NativeCompletion>, Pointer<UintPtr>)>(
    symbol: 'linnet_model_load_async', isLeaf: true)
external int modelLoadAsync(int engine, Pointer<NativeSource> source, int options,
    Pointer<NativeCompletion> completion, Pointer<UintPtr> task);
@Native<Size Function(UintPtr)>(symbol: 'linnet_model_input_count', isLeaf: true)
external int modelInputCount(int model);
@Native<Size Function(UintPtr)>(symbol: 'linnet_model_output_count', isLeaf: true)
external int modelOutputCount(int model);
@Native<UintPtr Function(UintPtr, Size, Pointer<NativePort>)>(symbol: 'linnet_model_input', isLeaf: true)
external int modelInput(int model, int i, Pointer<NativePort> port);
@Native<UintPtr Function(UintPtr, Size, Pointer<NativePort>)>(symbol: 'linnet_model_output', isLeaf: true)
external int modelOutput(int model, int i, Pointer<NativePort> port);
@Native<Pointer<Uint8> Function(UintPtr, Pointer<Uint8>)>(symbol: 'linnet_model_metadata', isLeaf: true)
external Pointer<Uint8> modelMetadata(int model, Pointer<Uint8> key);
@Native<Size Function(UintPtr)>(symbol: 'linnet_model_metadata_count', isLeaf: true)
external int modelMetadataCount(int model);
@Native<Pointer<Uint8> Function(UintPtr, Size)>(symbol: 'linnet_model_metadata_key', isLeaf: true)
external Pointer<Uint8> modelMetadataKey(int model, int i);
@Native<Size Function(UintPtr)>(symbol: 'linnet_model_bytes', isLeaf: true)
external int modelBytes(int model);

// --- running

@Native<UintPtr Function(Pointer<UintPtr>)>(symbol: 'linnet_cancel_create', isLeaf: true)
external int cancelCreate(Pointer<UintPtr> cancel);
@Native<Void Function(UintPtr)>(symbol: 'linnet_cancel_request', isLeaf: true)
external void cancelRequest(int cancel);

@Native<UintPtr Function(UintPtr, UintPtr, Pointer<UintPtr>)>(symbol: 'linnet_session_create', isLeaf: true)
external int sessionCreate(int engine, int model, Pointer<UintPtr> session);
@Native<Void Function(UintPtr)>(symbol: 'linnet_session_trim')
external void sessionTrim(int session);
@Native<
    UintPtr Function(UintPtr, Pointer<NativeRunOptions>, Pointer<UintPtr>, Pointer<UintPtr>, Size, Pointer<UintPtr>,
        Pointer<UintPtr>, Size)>(symbol: 'linnet_session_run')
external int sessionRun(int session, Pointer<NativeRunOptions> options, Pointer<UintPtr> inputNames,
    Pointer<UintPtr> inputs, int inputCount, Pointer<UintPtr> outputNames, Pointer<UintPtr> outputs, int outputCount);
@Native<UintPtr Function(UintPtr, Pointer<UintPtr>)>(symbol: 'linnet_binding_create', isLeaf: true)
external int bindingCreate(int session, Pointer<UintPtr> binding);
@Native<UintPtr Function(UintPtr, Pointer<Uint8>, UintPtr)>(symbol: 'linnet_binding_set_input', isLeaf: true)
external int bindingSetInput(int binding, Pointer<Uint8> name, int value);
@Native<UintPtr Function(UintPtr, Pointer<Uint8>, UintPtr)>(symbol: 'linnet_binding_set_output', isLeaf: true)
external int bindingSetOutput(int binding, Pointer<Uint8> name, int value);
@Native<UintPtr Function(UintPtr, Pointer<NativeRunOptions>)>(symbol: 'linnet_binding_run')
external int bindingRun(int binding, Pointer<NativeRunOptions> options);
@Native<UintPtr Function(UintPtr, Pointer<NativeRunOptions>, Pointer<NativeCompletion>, Pointer<UintPtr>)>(
    symbol: 'linnet_binding_run_async', isLeaf: true)
external int bindingRunAsync(int binding, Pointer<NativeRunOptions> options, Pointer<NativeCompletion> completion,
    Pointer<UintPtr> task);
@Native<UintPtr Function(UintPtr, Pointer<Uint8>, Pointer<UintPtr>)>(symbol: 'linnet_binding_output', isLeaf: true)
external int bindingOutput(int binding, Pointer<Uint8> name, Pointer<UintPtr> value);
@Native<
    UintPtr Function(UintPtr, Pointer<NativeRunOptions>, Pointer<UintPtr>, Pointer<UintPtr>, Size, Pointer<UintPtr>,
        Pointer<UintPtr>, Size, Pointer<NativeCompletion>, Pointer<UintPtr>)>(symbol: 'linnet_session_run_async', isLeaf: true)
external int sessionRunAsync(
    int session,
    Pointer<NativeRunOptions> options,
    Pointer<UintPtr> inputNames,
    Pointer<UintPtr> inputs,
    int inputCount,
    Pointer<UintPtr> outputNames,
    Pointer<UintPtr> outputs,
    int outputCount,
    Pointer<NativeCompletion> completion,
    Pointer<UintPtr> task);

@Native<UintPtr Function(UintPtr, Int64, Pointer<Int32>)>(symbol: 'linnet_task_wait')
external int taskWait(int task, int timeoutMs, Pointer<Int32> ended);
@Native<UintPtr Function(UintPtr)>(symbol: 'linnet_task_result', isLeaf: true)
external int taskResult(int task);
@Native<UintPtr Function(UintPtr, Size, Pointer<UintPtr>)>(symbol: 'linnet_task_output', isLeaf: true)
external int taskOutput(int task, int i, Pointer<UintPtr> value);
@Native<UintPtr Function(UintPtr, Pointer<UintPtr>)>(symbol: 'linnet_task_model', isLeaf: true)
external int taskModel(int task, Pointer<UintPtr> model);

@Native<Void Function(UintPtr)>(symbol: 'linnet_task_cancel', isLeaf: true)
external void taskCancel(int task);
@Native<Void Function(UintPtr)>(symbol: 'linnet_task_continue', isLeaf: true)
external void taskContinue(int task);
@Native<UintPtr Function(UintPtr, Pointer<UintPtr>)>(symbol: 'linnet_task_report', isLeaf: true)
external int taskReport(int task, Pointer<UintPtr> report);
@Native<UintPtr Function(UintPtr, Pointer<UintPtr>, Size)>(symbol: 'linnet_task_give_sample', isLeaf: true)
external int taskGiveSample(int task, Pointer<UintPtr> inputs, int count);

// --- of the system, only called where there is no code asset

@Native<Pointer<Void> Function(Pointer<Uint8>, Int32)>(symbol: 'dlopen', isLeaf: true)
external Pointer<Void> dlopen(Pointer<Uint8> path, int flags);
