import 'dart:convert';
import 'dart:ffi';
import 'dart:typed_data';

/// [text] in UTF-8 with a NUL at its end.
Uint8List nulTerminated(String text) {
  final encoded = utf8.encode(text);
  return Uint8List(encoded.length + 1)..setAll(0, encoded);
}

/// A text of Linnet's, copied; `''` for a null pointer. Without a [length] it ends with NUL.
String textAt(Pointer<Uint8> at, [int? length]) {
  if (at == nullptr) return '';
  var end = length ?? 0;
  if (length == null) {
    while (at[end] != 0) {
      ++end;
    }
  }
  return utf8.decode(at.asTypedList(end), allowMalformed: true);
}
