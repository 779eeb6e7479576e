/* What the tests run on the stand-in: prints as benchmark_model does, after really reading the
   model that was copied there. Times follow from the model's size, so that they are the same
   in every run. $STAND_IN/behaviour makes it misbehave; $STAND_IN/launches lists its launches. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *option(int argc, char **argv, const char *name) {
  size_t length = strlen(name);
  for (int i = 1; i < argc; i++)
    if (!strncmp(argv[i], name, length) && argv[i][length] == '=') return argv[i] + length + 1;
  return NULL;
}

static FILE *device(const char *name, const char *mode) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", getenv("STAND_IN"), name);
  return fopen(path, mode);
}

static int log_launch(int argc, char **argv) {
  int launches = 0;
  FILE *file = device("launches", "a+");
  for (int c; (c = fgetc(file)) != EOF;) launches += c == '\n';
  for (int i = 1; i < argc; i++) fprintf(file, "%s%s", i > 1 ? " " : "", argv[i]);
  fprintf(file, "\n");
  fclose(file);
  return launches + 1;
}

static long read_model(const char *path) {
  FILE *file = path ? fopen(path, "rb") : NULL;
  char head[8];
  if (!file || fread(head, 1, 8, file) != 8 || memcmp(head + 4, "TFL3", 4)) {
    fprintf(stderr, "ERROR: Could not open '%s'.\nERROR: Failed to mmap model %s\n", path, path);
    fprintf(stderr, "ERROR: Benchmarking failed.\n");
    exit(1);
  }
  fseek(file, 0, SEEK_END);
  long size = ftell(file);
  fclose(file);
  return size;
}

static void apply_delegate(int argc, char **argv) {
  const char *gpu = option(argc, argv, "--use_gpu"), *nnapi = option(argc, argv, "--use_nnapi");
  const char *library = option(argc, argv, "--external_delegate_path");
  if (gpu) {
    printf("INFO: Created TensorFlow Lite delegate for GPU.\n");
    printf("INFO: GPU delegate created.\n");
    printf("VERBOSE: Replacing 3 out of 4 node(s) with delegate (TfLiteGpuDelegateV2) node, "
           "yielding 2 partitions for the whole graph.\n");
    printf("INFO: Explicitly applied GPU delegate, and the model graph will be partially executed "
           "by the delegate w/ 1 delegate kernels.\n");
  }
  if (nnapi)
    printf("INFO: NNAPI delegate created.\nINFO: Though NNAPI delegate is explicitly applied, the "
           "model graph will not be executed by the delegate.\n");
  if (library) {
    char head[4];
    FILE *file = fopen(library, "rb");
    if (!file || fread(head, 1, 4, file) != 4 || memcmp(head, "\177ELF", 4)) {
      printf("INFO: Unable to load external delegate from : %s (dlopen failed: \"%s\" has bad ELF "
             "magic)\nINFO: EXTERNAL delegate created.\n", library, library);
      fflush(stdout);
      abort();
    }
    fclose(file);
    printf("INFO: EXTERNAL delegate created.\nINFO: Explicitly applied EXTERNAL delegate, and the "
           "model graph will be completely executed by the delegate.\n");
  }
}

static void print_table(const char *title, double ms, int own) {
  printf("============================== %s ==============================\n", title);
  printf("\t             [node type]\t  [first]\t [avg ms]\t     [%%]\t  [cdf%%]\t  [mem KB]\t"
         "[times called]\t[Name]\n");
  if (own) {
    printf("\t                QUANTIZE\t    0.100\t%9.3f\t 10.000%%\t 10.000%%\t     0.000\t"
           "        1\t[tfl.quantize]:0\n", ms * 0.1);
    printf("\tConvolution (NHWC, QC8) IGEMM\t    0.100\t%9.3f\t 90.000%%\t100.000%%\t     0.000\t"
           "        3\tDelegate/Convolution (NHWC, QC8) IGEMM:0\n", ms * 0.3);
  } else {
    printf("\t         AllocateTensors\t    1.356\t    1.356\t100.000%%\t100.000%%\t     0.000\t"
           "        1\tAllocateTensors/0\n");
  }
  printf("\n");
}

int main(int argc, char **argv) {
  char behaviour[64] = "";
  int wanted = 0;
  FILE *file = device("behaviour", "r");
  if (file) {
    if (fscanf(file, "%63s %d", behaviour, &wanted) < 1) behaviour[0] = 0;
    fclose(file);
  }
  int launch = log_launch(argc, argv);
  int here = !wanted || launch == wanted;
  int old = !strcmp(behaviour, "old");
  int runs = atoi(option(argc, argv, "--num_runs")), warmup = atoi(option(argc, argv, "--warmup_runs"));
  printf("INFO: STARTING!\nINFO: Log parameter values verbosely: [0]\nINFO: Graph: [%s]\n",
         option(argc, argv, "--graph"));
  if (!strcmp(behaviour, "library")) {
    fprintf(stderr, "CANNOT LINK EXECUTABLE \"./benchmark_model\": library \"libEGL.so\" not found: "
                    "needed by main executable\n");
    return 1;
  }
  double us = read_model(option(argc, argv, "--graph")) * (1 + launch % 3 / 1000.0) + 100;
  printf("INFO: Loaded model %s\n", option(argc, argv, "--graph"));
  apply_delegate(argc, argv);
  fflush(stdout);
  if (!strcmp(behaviour, "crash") && here) abort();
  printf("INFO: The input model file size (MB): 0.1\nINFO: Initialized session in 12.345ms.\n");
  printf("INFO: Running benchmark for at least %d iterations and at least 0.5 seconds but terminate "
         "if exceeding 150 seconds.\n", warmup);
  if (warmup) printf("INFO: count=%d first=%.0f curr=%.0f min=%.0f max=%.0f avg=%g std=%d%s\n\n",
                     warmup + 2, us * 3, us, us, us * 3, us * 1.2, 10,
                     old ? "" : " p5=1 median=2 p95=3");
  else printf("INFO: count=0\n\n");
  fflush(stdout);
  if (!strcmp(behaviour, "cut") && here) return 0;
  if (!strcmp(behaviour, "unplug") && here) {
    fclose(device("pull-the-plug", "w"));
    sleep(20);
  }
  if (!strcmp(behaviour, "hang") && here) sleep(20);
  if (!strcmp(behaviour, "throttle") && here) {
    FILE *cap = device("sys/devices/system/cpu/cpu3/cpufreq/scaling_max_freq", "w");
    fprintf(cap, "1400000\n");
    fclose(cap);
    FILE *status = device("dumpsys-thermalservice", "w");
    fprintf(status, "IsStatusOverride: false\nThermal Status: 2\nHAL Ready: true\n"
                    "Current temperatures from HAL:\n"
                    "\tTemperature{mValue=71.5, mType=0, mName=CPU, mStatus=2}\n");
    fclose(status);
  }
  if (!strcmp(behaviour, "meet")) { /* goes on when the other device is at this point, too */
    fclose(device("here", "w"));
    FILE *other = NULL;
    for (int i = 0; i < 2000 && !(other = device(wanted ? "../phone0/here" : "../phone1/here", "r")); i++)
      usleep(10000);
    if (!other) return 1;
    fclose(other);
  }
  double std = !strcmp(behaviour, "restless") ? us * 0.4 : us * 0.01;
  printf("INFO: Running benchmark for at least %d iterations and at least 1 seconds but terminate if "
         "exceeding 150 seconds.\n", runs);
  printf("INFO: count=%d first=%.0f curr=%.0f min=%.0f max=%.0f avg=%g std=%.0f", runs, us * 1.1, us,
         us * 0.98, us * 1.1, us, std);
  if (!old) printf(" p5=%.0f median=%.0f p95=%.0f", us * 0.99, us * 0.999, us * 1.05);
  printf("\n\nINFO: Inference timings in us: Init: 12345, First inference: %.0f, Warmup (avg): %g, "
         "Inference (avg): %g\n", warmup ? us * 3 : 0, warmup ? us * 1.2 : 0, us);
  printf("INFO: Note: as the benchmark tool itself affects memory footprint, the following is only "
         "APPROXIMATE to the actual memory footprint of the model at runtime. Take the information "
         "at your discretion.\n");
  printf("INFO: Memory footprint delta from the start of the tool (MB): init=3.5 overall=7.25\n");
  if (option(argc, argv, "--enable_op_profiling")) {
    printf("INFO: Profiling Info for Benchmark Initialization:\n");
    print_table("Run Order", 0, 0);
    printf("INFO: Operator-wise Profiling Info for Regular Benchmark Runs:\n");
    print_table("Run Order", us / 1000, 1);
    print_table("Top by Computation Time", us / 1000, 1);
  }
  return 0;
}
