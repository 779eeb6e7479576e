// The part of libedgetpu's C interface that lists devices (tflite/public/edgetpu_c.h).
//
// -DDEVICES=N makes it see N devices: one on PCIe first, then USB. With -DDELEGATE=1 it is also a
// delegate that opens none of them, as libedgetpu does for a device that is not there.

#include <stdlib.h>

#ifndef DEVICES
#define DEVICES 0
#endif

struct Device {
  int type;
  const char* path;
};

static const struct Device kDevices[] = {
    {0, "/dev/apex_0"}, {1, "/sys/bus/usb/devices/2-1"}, {1, "/sys/bus/usb/devices/2-2"}};

struct Device* edgetpu_list_devices(size_t* count) {
  *count = DEVICES;
  if (DEVICES == 0) return NULL;
  struct Device* found = malloc(sizeof kDevices);
  for (size_t i = 0; i < DEVICES; ++i) found[i] = kDevices[i];
  return found;
}

void edgetpu_free_devices(struct Device* devices) { free(devices); }

#ifndef WITHOUT_VERSION
const char* edgetpu_version(void) { return "BuildLabel(COMPILER=stand-in), RuntimeVersion(14)"; }
#endif

#ifdef DELEGATE
void* tflite_plugin_create_delegate(char** keys, char** values, size_t count,
                                    void (*report_error)(const char*)) {
  return NULL;
}

void tflite_plugin_destroy_delegate(void* delegate) {}
#endif
