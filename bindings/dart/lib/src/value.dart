import 'dart:ffi';
import 'dart:typed_data';

import 'dtype.dart';
import 'exceptions.dart';
import 'library.dart';
import 'native.dart' as native;
import 'status.dart';
import 'words.dart';

/// What a model takes and gives: nearly always a [Tensor].
sealed class Value {
  const Value();
}

/// An optional without content.
final class NoValue extends Value {
  const NoValue();

  @override
  String toString() => 'nothing';
}

/// At most so many parts of a value are printed.
const _shown = 6;

String _listed(Iterable<Object?> parts) =>
    '${parts.take(_shown).join(', ')}${parts.length > _shown ? ', ...' : ''}';

/// A list of tensors of one type.
final class SequenceValue extends Value {
  SequenceValue(this.dtype, List<Tensor> elements) : elements = List.unmodifiable(elements);

  final DType dtype;
  final List<Tensor> elements;

  @override
  String toString() => '[${_listed(elements)}]';
}

/// Two tensors of one dimension: keys (int64 or texts) and as many values.
final class MapValue extends Value {
  const MapValue(this.keys, this.values);

  final Tensor keys;
  final Tensor values;

  @override
  String toString() {
    if (keys._closed || values._closed) return 'closed map';
    final all = values._elements;
    return '{${_listed([for (final (i, key) in keys._elements.take(all.length).indexed) '$key: ${all[i]}'])}}';
  }
}

/// A list of maps, as classifiers of scikit-learn give one for each row.
final class MapsValue extends Value {
  MapsValue(List<MapValue> elements) : elements = List.unmodifiable(elements);

  final List<MapValue> elements;

  @override
  String toString() => '[${_listed(elements)}]';
}

/// Numbers or texts in a box of any number of dimensions, such as `[1, 3, 224, 224]`: the sizes, outermost first. The
/// elements lie in that order in one flat list.
///
/// A tensor made of a typed list *is* that list: nothing is copied until a run, which copies it as one block. A tensor
/// of [Tensor.zeros] lies in Linnet's own memory, as large outputs do: fill or read [data] in place, and runs neither
/// copy it nor wait for it. Do not write to it while a run that has it as input is under way.
final class Tensor extends Value implements Finalizable {
  Tensor._(this.dtype, this.shape, this._list, this._texts, this._handle, this._bytes);

  /// Over a typed list, whose type tells the tensor's: `Float32List` is float32, and so on. Without a [shape]: one
  /// dimension.
  factory Tensor(TypedData list, [List<int>? shape]) {
    final (dtype, length) = switch (list) {
      Float32List l => (DType.float32, l.length),
      Float64List l => (DType.float64, l.length),
      Int8List l => (DType.int8, l.length),
      Int16List l => (DType.int16, l.length),
      Int32List l => (DType.int32, l.length),
      Int64List l => (DType.int64, l.length),
      Uint8List l => (DType.uint8, l.length),
      Uint16List l => (DType.uint16, l.length),
      Uint32List l => (DType.uint32, l.length),
      Uint64List l => (DType.uint64, l.length),
      _ => throw LinnetInvalidArgument('a tensor cannot be made of ${list.runtimeType}; use a list such as Float32List'),
    };
    return Tensor._over(dtype, list, length, shape);
  }

  /// Over a list of numbers of the given type. A list that is not the fitting typed list is copied now.
  factory Tensor.float32(List<double> values, [List<int>? shape]) => Tensor._over(
      DType.float32, values is Float32List ? values : Float32List.fromList(values), values.length, shape);
  factory Tensor.float64(List<double> values, [List<int>? shape]) => Tensor._over(
      DType.float64, values is Float64List ? values : Float64List.fromList(values), values.length, shape);
  factory Tensor.int32(List<int> values, [List<int>? shape]) =>
      Tensor._over(DType.int32, values is Int32List ? values : Int32List.fromList(values), values.length, shape);
  factory Tensor.int64(List<int> values, [List<int>? shape]) =>
      Tensor._over(DType.int64, values is Int64List ? values : Int64List.fromList(values), values.length, shape);
  factory Tensor.uint8(List<int> values, [List<int>? shape]) =>
      Tensor._over(DType.uint8, values is Uint8List ? values : Uint8List.fromList(values), values.length, shape);
  factory Tensor.bools(List<bool> values, [List<int>? shape]) => Tensor._over(
      DType.bool, Uint8List.fromList([for (final value in values) value ? 1 : 0]), values.length, shape);

  /// Elements of any type but texts, as ONNX lays them out: half-precision numbers as a `Uint16List`, 8-bit floats and
  /// packed elements as a `Uint8List`, complex numbers as a list of twice the length.
  factory Tensor.raw(DType dtype, TypedData list, List<int> shape) {
    final expected = dtype.newList(0);
    if (dtype.bits == 0 || expected.elementSizeInBytes != list.elementSizeInBytes) {
      throw LinnetInvalidArgument('a tensor of ${dtype.name} cannot be made of ${list.runtimeType}');
    }
    return Tensor._over(dtype, list, list.lengthInBytes ~/ list.elementSizeInBytes, shape);
  }

  /// Texts. The list is copied.
  factory Tensor.strings(List<String> texts, [List<int>? shape]) {
    final sizes = _checked(shape ?? [texts.length], DType.string, texts.length);
    return Tensor._(DType.string, sizes, null, List.unmodifiable(texts), 0, 0);
  }

  /// In Linnet's memory, filled with zeros (or empty texts).
  factory Tensor.zeros(DType dtype, List<int> shape) {
    final count = _count(shape);
    if (dtype == DType.string) return Tensor.strings(List.filled(count, ''), shape);
    ensureLibrary();
    check(native.valueCreateTensor(
        dtype.onnx, Int64List.fromList(shape).address, shape.length, received.bytes.address.cast()));
    final handle = received[0];
    check(native.valueView(handle, view.address));
    return Tensor.ofHandle(dtype, List.unmodifiable(shape), handle, view.bytes, view.data);
  }

  factory Tensor._over(DType dtype, TypedData list, int length, List<int>? shape) =>
      Tensor._(dtype, _checked(shape ?? [length], dtype, length), list, null, 0, list.lengthInBytes);

  /// Takes the handle over; for this package.
  factory Tensor.ofHandle(DType dtype, List<int> shape, int handle, int bytes, Pointer<Uint8> at) {
    final tensor = Tensor._(dtype, shape, null, null, handle, bytes).._at = at;
    releaser.attach(tensor, Pointer.fromAddress(handle), detach: tensor, externalSize: bytes);
    return tensor;
  }

  /// Over a list that fits; for this package.
  Tensor.ofList(DType dtype, List<int> shape, TypedData list) : this._(dtype, shape, list, null, 0, list.lengthInBytes);

  final DType dtype;

  /// Unmodifiable. Empty for a single number.
  final List<int> shape;

  final List<String>? _texts;
  final int _handle; // 0: the elements are _list or _texts
  final int _bytes;
  Pointer<Uint8> _at = nullptr;
  TypedData? _list;
  bool _closed = false;

  /// Elements.
  int get length => _count(shape);

  /// The elements themselves, not a copy; the list's type follows [dtype].
  ///
  /// The list stays valid for as long as it is in use, whatever happens to the tensor.
  TypedData get data {
    _requireOpen();
    final list = _list;
    if (list != null) return list;
    if (_texts != null) throw _holds('strings');
    // From here on the list owns the memory, and the tensor holds it through the list.
    releaser.detach(this);
    return _list = dtype.listAt(_at.cast(), dtype.listLength(length),
        finalizer: native.releaseAddress, token: Pointer.fromAddress(_handle));
  }

  /// The elements of a tensor of float32, not a copy.
  Float32List get floats => dtype == DType.float32 ? data as Float32List : throw _holds('floats');

  /// The elements of a tensor of float64, not a copy.
  Float64List get doubles => dtype == DType.float64 ? data as Float64List : throw _holds('doubles');

  /// The elements of a tensor of integers of 8 to 64 bits, not a copy.
  List<int> get ints => switch (dtype) {
        DType.int8 ||
        DType.int16 ||
        DType.int32 ||
        DType.int64 ||
        DType.uint8 ||
        DType.uint16 ||
        DType.uint32 ||
        DType.uint64 =>
          data as List<int>,
        _ => throw _holds('ints'),
      };

  /// The elements of a tensor of bool, copied.
  List<bool> get bools =>
      dtype == DType.bool ? [for (final byte in data as Uint8List) byte != 0] : throw _holds('bools');

  /// The elements of a tensor of texts.
  List<String> get strings {
    _requireOpen();
    return _texts ?? (throw _holds('strings'));
  }

  /// Gives the memory back now rather than when the tensor is collected. A list of [data] that is still in use keeps it
  /// until then. The tensor cannot be used any more.
  void close() {
    if (_closed) return;
    _closed = true;
    if (_handle != 0 && _list == null) {
      releaser.detach(this);
      native.release(_handle);
    }
    _list = null;
  }

  /// The handle of a tensor in Linnet's memory, else 0; for this package.
  int get handle {
    _requireOpen();
    return _handle;
  }

  void _requireOpen() {
    if (_closed) throw const LinnetClosed('the tensor is closed');
  }

  LinnetInvalidArgument _holds(String getter) {
    final fitting = switch (dtype) {
      DType.float32 => 'floats',
      DType.float64 => 'doubles',
      DType.bool => 'bools',
      DType.string => 'strings',
      _ => dtype.name.contains('int') && dtype.bits >= 8 ? 'ints' : 'data',
    };
    return LinnetInvalidArgument('the tensor holds ${dtype.name}: read .$fitting, not .$getter');
  }

  static List<int> _checked(List<int> shape, DType dtype, int listLength) {
    final wanted = dtype.listLength(_count(shape));
    if (wanted != listLength) {
      throw LinnetInvalidArgument('a tensor of ${dtype.name} $shape needs a list of $wanted, not of $listLength');
    }
    return List.unmodifiable(shape);
  }

  static int _count(List<int> shape) {
    var count = 1;
    for (final size in shape) {
      if (size < 0) throw LinnetInvalidArgument('the shape $shape has a negative size');
      count *= size;
    }
    return count;
  }

  List<Object?> get _elements => _texts ?? (dtype == DType.bool ? bools : data as List<Object?>);

  @override
  String toString() => _closed ? 'closed tensor' : '${dtype.name} $shape (${_listed(_elements)})';
}

/// What valueView writes to. Calls of one isolate never overlap, so one will do.
final native.NativeView view = Struct.create<native.NativeView>()..structSize = sizeOf<native.NativeView>();
