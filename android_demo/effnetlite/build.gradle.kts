plugins {
    alias(libs.plugins.android.library)
    alias(libs.plugins.kotlin.android)
}

android {
    namespace = "org.effnetlite"
    compileSdk = libs.versions.compileSdk.get().toInt()
    defaultConfig { minSdk = libs.versions.minSdk.get().toInt() }
    compileOptions {
        sourceCompatibility = JavaVersion.toVersion(libs.versions.jvmTarget.get())
        targetCompatibility = JavaVersion.toVersion(libs.versions.jvmTarget.get())
    }
    sourceSets.named("test") { kotlin.srcDir("../testing/src") }
    testOptions {
        // Robolectric runs in it; a library's own default would be minSdk.
        targetSdk = libs.versions.targetSdk.get().toInt()
        unitTests.isIncludeAndroidResources = true
    }
}

kotlin {
    compilerOptions {
        jvmTarget.set(org.jetbrains.kotlin.gradle.dsl.JvmTarget.fromTarget(libs.versions.jvmTarget.get()))
        allWarningsAsErrors.set(true)
    }
}

dependencies {
    api(libs.tflite.api) // TfliteEngines takes its Delegate
    implementation(libs.bundles.runtime)
    testImplementation(libs.bundles.unit.test)
}
