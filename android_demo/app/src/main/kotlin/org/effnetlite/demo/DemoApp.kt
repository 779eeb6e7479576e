package org.effnetlite.demo

import android.app.Application
import org.effnetlite.demo.benchmark.Protocol
import org.effnetlite.demo.camera.Camera2Cameras
import org.effnetlite.demo.camera.Cameras

/** What the screens need from the device; tests put others in their place. */
open class DemoApp : Application() {
    /** The models of this build. */
    open val models: Models by lazy { AssetModels(this) }

    /** The device's cameras. */
    open val cameras: Cameras by lazy { Camera2Cameras(this) }

    /** How the benchmark times. */
    open val protocol: Protocol = Protocol()
}
