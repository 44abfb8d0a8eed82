#include "ops/float_scratch.h"

namespace linnet {

void request_float_scratch(BindContext& context) {
  size_t bytes = 0;
  for (size_t i = 0; i < context.inputs(); ++i)
    if (context.has(i)) bytes += FloatScratch::bytes(context.dtype(i), context.shape(i));
  for (size_t o = 0; o < context.outputs(); ++o)
    if (context.wants(o) && context.has_shape(o))
      bytes += FloatScratch::bytes(context.out_dtype(o), context.out_shape(o));
  if (bytes != 0) context.request_scratch(bytes);
}

}  // namespace linnet
