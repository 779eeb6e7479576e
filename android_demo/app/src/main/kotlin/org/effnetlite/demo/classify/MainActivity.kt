package org.effnetlite.demo.classify

import android.Manifest.permission.CAMERA
import android.content.ActivityNotFoundException
import android.content.Intent
import android.content.pm.PackageManager.PERMISSION_GRANTED
import android.net.Uri
import android.os.Bundle
import android.view.Menu
import android.view.MenuItem
import android.widget.Toolbar
import org.effnetlite.demo.R
import org.effnetlite.demo.RetainingActivity
import org.effnetlite.demo.Settings
import org.effnetlite.demo.benchmark.BenchmarkActivity
import org.effnetlite.demo.camera.Camera
import org.effnetlite.demo.camera.CameraState
import org.effnetlite.demo.golden.GoldenActivity
import org.effnetlite.demo.views.view

/** The first screen: the camera or a photo, and what the model sees in it. */
class MainActivity : RetainingActivity<MainState, MainHolder>(), MainScreen.Actions {
    private lateinit var screen: MainScreen
    private var camera: Camera? = null
    private var started = false

    override fun createHolder(saved: Bundle?) = MainHolder(
        demo.models,
        applicationContext.contentResolver,
        Settings.of(saved),
        // The system ended the app in the background: the photo is still the one to show.
        saved?.getString(PHOTO_KEY)?.let(Uri::parse),
    )

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.activity_main)
        setActionBar(view<Toolbar>(R.id.bar))
        screen = MainScreen(this, this)
    }

    override fun onStart() {
        started = true
        super.onStart()
    }

    override fun onStop() {
        started = false
        closeCamera()
        super.onStop()
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        holder.state.settings.writeTo(outState)
        outState.putString(PHOTO_KEY, holder.photoUri?.toString())
    }

    override fun render(state: MainState) {
        screen.show(state)
        when {
            state.source == Source.PHOTO -> closeCamera()
            // While a model is loaded again the preview goes on.
            state.model is ModelState.Ready -> openCamera(state)
            state.model != ModelState.Loading -> closeCamera()
        }
    }

    override fun onCreateOptionsMenu(menu: Menu): Boolean {
        menuInflater.inflate(R.menu.main, menu)
        return true
    }

    override fun onOptionsItemSelected(item: MenuItem): Boolean {
        val screen = when (item.itemId) {
            R.id.menu_benchmark -> BenchmarkActivity::class.java
            R.id.menu_golden -> GoldenActivity::class.java
            else -> return super.onOptionsItemSelected(item)
        }
        startActivity(holder.state.settings.writeTo(Intent(this, screen)))
        return true
    }

    override fun choose(settings: Settings) = holder.choose(settings)

    override fun liveCamera() = holder.live()

    override fun tryAgain() = closeCamera() // which is then opened anew

    override fun pickPhoto() {
        // The system's picker lets the user show us one file: no permission for storage.
        val intent = Intent(Intent.ACTION_OPEN_DOCUMENT)
            .addCategory(Intent.CATEGORY_OPENABLE)
            .setType("image/*")
        try {
            startActivityForResult(intent, PICK)
        } catch (_: ActivityNotFoundException) {
            holder.noPicker()
        }
    }

    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        val uri = data?.data
        if (requestCode == PICK && resultCode == RESULT_OK && uri != null) holder.pick(uri)
    }

    override fun askForCamera() {
        holder.asking = Asking.ASKS
        requestPermissions(arrayOf(CAMERA), ASK)
    }

    override fun openSettings() {
        val intent = Intent(
            android.provider.Settings.ACTION_APPLICATION_DETAILS_SETTINGS,
            Uri.fromParts("package", packageName, null),
        )
        startActivity(intent)
    }

    override fun onRequestPermissionsResult(
        requestCode: Int,
        permissions: Array<out String>,
        grantResults: IntArray,
    ) {
        if (requestCode != ASK) return
        holder.asking = Asking.ASKED
        closeCamera()
        if (started) render(holder.state)
    }

    private fun openCamera(state: MainState) {
        if (!started || camera != null || state.camera !is CameraState.Closed) return
        when {
            !demo.cameras.any() -> holder.cameraIs(CameraState.Absent)
            checkSelfPermission(CAMERA) == PERMISSION_GRANTED -> {
                val size = (state.model as ModelState.Ready).description.size
                val opened = demo.cameras.create()
                camera = opened
                opened.open(screen.preview, size, holder) { holder.cameraIs(it) }
            }
            holder.asking == Asking.NOT_ASKED -> askForCamera()
            holder.asking == Asking.ASKED -> {
                val forGood = !shouldShowRequestPermissionRationale(CAMERA)
                holder.cameraIs(CameraState.Denied(forGood))
            }
        }
    }

    private fun closeCamera() {
        camera?.close()
        camera = null
        holder.cameraIs(CameraState.Closed)
    }

    private companion object {
        const val PICK = 1
        const val ASK = 2
        const val PHOTO_KEY = "photo"
    }
}
