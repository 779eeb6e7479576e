plugins {
    alias(libs.plugins.android.application) apply false
    alias(libs.plugins.android.library) apply false
    alias(libs.plugins.kotlin.android) apply false
}

// Native code of the desktop's TFLite, as org.bytedeco names this machine.
val desktop: String = run {
    val arm = System.getProperty("os.arch") == "aarch64"
    val name = System.getProperty("os.name").lowercase()
    when {
        "mac" in name -> if (arm) "macosx-arm64" else "macosx-x86_64"
        "windows" in name -> "windows-x86_64"
        else -> if (arm) "linux-arm64" else "linux-x86_64"
    }
}

subprojects {
    pluginManager.withPlugin("org.jetbrains.kotlin.android") {
        for (module in rootProject.libs.bundles.unit.test.natives.get()) {
            dependencies.add("testRuntimeOnly", "${module.module}:${module.version}:$desktop")
        }
    }
    // Real inference in the tests: gradlew test -Peffnetlite.model=MODEL.tflite -Peffnetlite.parity=DIR
    tasks.withType<Test>().configureEach {
        jvmArgs(
            "--add-opens", "java.base/java.io=ALL-UNNAMED",
            "--add-opens", "java.base/java.lang=ALL-UNNAMED",
        )
        for (name in listOf("effnetlite.model", "effnetlite.parity", "effnetlite.output")) {
            providers.gradleProperty(name).orNull?.let { systemProperty(name, it) }
        }
    }
}
