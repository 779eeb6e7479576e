// An external delegate that takes over whole operators and fills their outputs with one byte.
//
// The layouts are those of tflite/core/c/common.h, as far as they are used here, and the two
// exported functions those of delegates/external/external_delegate_interface.h; no package of
// a runtime ships these headers.
//
// Options (key=value):
//   claim   all (as if left out), none, or the number of a builtin operator
//   fill    the byte for every output of what is claimed; 7 if left out
//   log     a file for a line about each thing that happens
//   fail    create: no delegate, and a reason; garbled: a reason that is no text; silently: no
//           delegate and no reason, as libedgetpu does without a device; prepare, apply: the
//           two statuses for a graph that is refused; init, run: later, in the kernel
//
// Compiled with -DFAIL='"silently"' the option fail has that value unless it is given. With
// -DFLAGS=1 (kTfLiteDelegateFlagsAllowDynamicTensors) the runtime does not prepare its own
// kernels first, so that operators that only the delegate knows can be claimed.

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef FAIL
#define FAIL ""
#endif
#ifndef FLAGS
#define FLAGS 0
#endif

enum Status { kOk = 0, kError = 1, kDelegateError = 2 };

struct Context;
struct Delegate;

struct Integers {
  int size;
  int data[];
};

struct Tensor {
  int type;
  void* data;
  struct Integers* dims;
  float scale;
  int32_t zero_point;
  int allocation_type;
  size_t bytes;
  const void* allocation;
  const char* name;
  struct Delegate* delegate;
  int buffer_handle;
  bool data_is_stale;
  bool is_variable;
  int quantization_type;
  void* quantization;
  void* sparsity;
  struct Integers* dims_signature;
};

struct Node {
  struct Integers* inputs;
  struct Integers* outputs;
  struct Integers* intermediates;
  struct Integers* temporaries;
  void* user_data;
};

struct Params {  // what a kernel's init gets for its buffer
  struct Delegate* delegate;
  struct Integers* nodes_to_replace;
  struct Integers* input_tensors;
  struct Integers* output_tensors;
};

struct Registration {
  void* (*init)(struct Context*, const char*, size_t);
  void (*free)(struct Context*, void*);
  int (*prepare)(struct Context*, struct Node*);
  int (*invoke)(struct Context*, struct Node*);
  const char* (*profiling_string)(const struct Context*, const struct Node*);
  int32_t builtin_code;
  const char* custom_name;
  int version;
  void* later_versions[8];
};

struct Context {
  size_t tensors_size;
  int (*GetExecutionPlan)(struct Context*, struct Integers**);
  struct Tensor* tensors;
  void* impl;
  void* ResizeTensor;
  void (*ReportError)(struct Context*, const char*, ...);
  void* AddTensors;
  int (*GetNodeAndRegistration)(struct Context*, int, struct Node**, struct Registration**);
  int (*ReplaceNodeSubsetsWithDelegateKernels)(struct Context*, struct Registration,
                                               const struct Integers*, struct Delegate*);
  // More follows.
};

struct Delegate {
  void* data;
  int (*Prepare)(struct Context*, struct Delegate*);
  void* CopyFromBufferHandle;
  void* CopyToBufferHandle;
  void* FreeBufferHandle;
  int64_t flags;
  void* opaque_delegate_builder;
  // From here on ours.
  char claim[32], fail[32], log[512];
  int fill;
};

static void note(const struct Delegate* self, const char* what, const char* detail, int number) {
  FILE* file = self->log[0] ? fopen(self->log, "a") : NULL;
  if (!file) return;
  fprintf(file, "%s %s %d\n", what, detail, number);
  fclose(file);
}

static bool fails(const struct Delegate* self, const char* where) {
  return strcmp(self->fail, where) == 0;
}

static void* kernel_init(struct Context* context, const char* buffer, size_t length) {
  return ((const struct Params*)buffer)->delegate;
}

static void kernel_free(struct Context* context, void* data) {}

static int kernel_prepare(struct Context* context, struct Node* node) {
  struct Delegate* self = node->user_data;
  if (!fails(self, "init")) return kOk;
  context->ReportError(context, "the accelerator has no memory left");
  return kError;
}

static int kernel_invoke(struct Context* context, struct Node* node) {
  struct Delegate* self = node->user_data;
  if (fails(self, "run")) {
    context->ReportError(context, "the accelerator overheated");
    return kError;
  }
  for (int i = 0; i < node->outputs->size; ++i) {
    struct Tensor* tensor = context->tensors + node->outputs->data[i];
    memset(tensor->data, self->fill, tensor->bytes);
  }
  return kOk;
}

static bool claims(const struct Delegate* self, int builtin_code) {
  if (strcmp(self->claim, "none") == 0) return false;
  return strcmp(self->claim, "all") == 0 || atoi(self->claim) == builtin_code;
}

static int prepare(struct Context* context, struct Delegate* self) {
  if (fails(self, "prepare") || fails(self, "apply")) {
    context->ReportError(context, "the accelerator knows\n none of these operators");
    return fails(self, "prepare") ? kError : kDelegateError;
  }
  struct Integers* plan = NULL;
  if (context->GetExecutionPlan(context, &plan) != kOk) return kError;
  struct Integers* claimed = malloc(sizeof(int) * (plan->size + 1));
  claimed->size = 0;
  for (int i = 0; i < plan->size; ++i) {
    struct Node* node = NULL;
    struct Registration* registration = NULL;
    if (context->GetNodeAndRegistration(context, plan->data[i], &node, &registration) != kOk) {
      free(claimed);
      return kError;
    }
    if (claims(self, registration->builtin_code)) claimed->data[claimed->size++] = plan->data[i];
  }
  note(self, "seen", "operators", plan->size);
  note(self, "claimed", "operators", claimed->size);
  struct Registration kernel = {0};
  kernel.init = kernel_init;
  kernel.free = kernel_free;
  kernel.prepare = kernel_prepare;
  kernel.invoke = kernel_invoke;
  kernel.custom_name = "TestDelegate";
  kernel.version = 1;
  int status = context->ReplaceNodeSubsetsWithDelegateKernels(context, kernel, claimed, self);
  free(claimed);
  return status;
}

struct Delegate* tflite_plugin_create_delegate(char** keys, char** values, size_t count,
                                               void (*report_error)(const char*)) {
  struct Delegate* self = calloc(1, sizeof *self);
  self->Prepare = prepare;
  self->flags = FLAGS;
  self->fill = 7;
  strcpy(self->claim, "all");
  strcpy(self->fail, FAIL);
  for (size_t i = 0; i < (uint32_t)count; ++i) {  // Python's wrapper passes an int
    if (strcmp(keys[i], "log") == 0) snprintf(self->log, sizeof self->log, "%s", values[i]);
    if (strcmp(keys[i], "claim") == 0) snprintf(self->claim, sizeof self->claim, "%s", values[i]);
    if (strcmp(keys[i], "fail") == 0) snprintf(self->fail, sizeof self->fail, "%s", values[i]);
    if (strcmp(keys[i], "fill") == 0) self->fill = atoi(values[i]);
  }
  for (size_t i = 0; i < (uint32_t)count; ++i) note(self, keys[i], values[i], 0);
  if (fails(self, "create") || fails(self, "garbled") || fails(self, "silently")) {
    fprintf(stderr, "a library may print what it likes\n");
    if (fails(self, "create")) report_error("the accelerator\n is asleep");
    if (fails(self, "garbled")) report_error("\xff");
    free(self);
    return NULL;
  }
  return self;
}

void tflite_plugin_destroy_delegate(struct Delegate* self) {
  if (self) note(self, "destroyed", "delegate", 0);
  free(self);
}
